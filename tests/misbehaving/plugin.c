/*
 * A plugin for each way to misbehave: compiled once per way with -DWAY_<way> and a generated `manifest.h`.
 *
 * Each asks GET /version and, where it is told the answer, does what its way says. What it is expected to come to is
 * in tests/harness/misbehaving.rs.
 */
#define _GNU_SOURCE
#include <ai_monitor_plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "manifest.h"

static int32_t put(const aim_sink *out, const char *text) {
  return out->put(out->ctx, (const uint8_t *)text, strlen(text));
}

static int32_t effect(const aim_sink *out, const char *text) {
  return put(out, text) == 0 ? AIM_OK : AIM_ERROR;
}

/* Through a pointer that the compiler cannot see through: what is undefined must still be done. */
static volatile int *volatile nowhere = NULL;

static inline void segfault(void) {
  *nowhere = 1;
}

static inline void spin(void) {
  for (;;)
    nowhere = NULL;
}

#ifdef WAY_never_returns
#include <linux/futex.h>
/* As a lock that is taken twice: waits for what nobody will do. */
static void wait_for_nobody(void) {
  static uint32_t word = 0;
  for (;;)
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
#endif

#if defined(WAY_takes_shared_memory) || defined(WAY_takes_shared_memory_in_initialiser) || defined(WAY_takes_stacks)
/* Twice what a plugin may have, of a kind that the limit of data does not count. */
static void take(int kind) {
  for (int i = 0; i < 32; i++) {
    void *block = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | kind, -1, 0);
    if (block == MAP_FAILED)
      abort();
    memset(block, 1, 4 << 20);
  }
}
#endif

#if defined(WAY_takes_shared_memory_in_initialiser)
__attribute__((constructor)) static void initialise(void) {
  take(MAP_SHARED);
}
#elif defined(WAY_speaks_for_its_process)
/* For ever says what its process may say once, to keep the host listening. */
__attribute__((constructor)) static void initialise(void) {
  static const char unfenced[] = {1, 0, 0, 0, 17, '.'};
  for (;;)
    if (write(4, unfenced, sizeof unfenced) < 0)
      _exit(5);
}
#elif defined(WAY_crashes_in_initialiser)
__attribute__((constructor)) static void initialise(void) {
  segfault();
}
#elif defined(WAY_hangs_in_initialiser)
__attribute__((constructor)) static void initialise(void) {
  spin();
}
#elif defined(WAY_writes_in_initialiser)
__attribute__((constructor)) static void initialise(void) {
  open("/tmp/a-plugin-was-here", O_WRONLY | O_CREAT, 0600);
}
#elif defined(WAY_forks_in_initialiser)
__attribute__((constructor)) static void initialise(void) {
  fork();
}
#endif

static int32_t manifest(const aim_sink *out) {
#if defined(WAY_crashes_in_manifest)
  segfault();
#elif defined(WAY_hangs_in_manifest)
  spin();
#endif
  return effect(out, MANIFEST);
}

static int32_t create(void **session, const aim_sink *err) {
  (void)err;
#if defined(WAY_hangs_in_create)
  spin();
#elif defined(WAY_crashes_in_create)
  segfault();
#elif defined(WAY_refuses_to_create)
  put(err, "not today");
  return AIM_ERROR;
#elif defined(WAY_refuses_in_invalid_utf8)
  char words[3000] = "no: ";
  memset(words + 4, '\xff', sizeof words - 5);
  put(err, words);
  return AIM_ERROR;
#endif
  *session = malloc(1);
  return *session ? AIM_OK : AIM_ERROR;
}

static const char ASK[] = "{\"effect\":\"request\",\"method\":\"GET\",\"path\":\"/version\",\"timeout_ms\":4000}";
static const char REPORT[] = "{\"effect\":\"report\",\"report\":{\"phase\":\"ready\"}}";

/* The answer has come: now the way. */
static int32_t answered(const aim_sink *out) {
#if defined(WAY_segfaults)
  segfault();
#elif defined(WAY_aborts)
  abort();
#elif defined(WAY_divides_by_zero)
  raise(SIGFPE);
#elif defined(WAY_exits)
  exit(3);
#elif defined(WAY_says_why_and_exits)
  fputs("first line\nthe table of moons is empty\n", stderr);
  exit(4);
#elif defined(WAY_overflows_its_stack)
  volatile char frame[4096];
  memset((char *)frame, 1, sizeof frame);
  if (!nowhere)
    return frame[7] + answered(out);
#elif defined(WAY_spins)
  spin();
#elif defined(WAY_never_returns)
  wait_for_nobody();
#elif defined(WAY_sleeps)
  sleep(3600);
#elif defined(WAY_leaks)
  for (;;) {
    void *block = malloc(1 << 20);
    if (!block)
      abort();
    memset(block, 1, 1 << 20);
  }
#elif defined(WAY_takes_shared_memory)
  take(MAP_SHARED);
#elif defined(WAY_takes_stacks)
  take(MAP_PRIVATE | MAP_GROWSDOWN);
#elif defined(WAY_floods_the_sink)
  static char page[65536];
  memset(page, 'x', sizeof page);
  for (;;)
    out->put(out->ctx, (const uint8_t *)page, sizeof page);
#elif defined(WAY_writes_too_large_an_effect)
  static char page[65536];
  memset(page, ' ', sizeof page);
  for (int i = 0; i < 17; i++)
    out->put(out->ctx, (const uint8_t *)page, sizeof page);
#elif defined(WAY_floods_requests)
  return effect(out, ASK);
#elif defined(WAY_floods_waits)
  return effect(out, "{\"effect\":\"wait\",\"ms\":10}");
#elif defined(WAY_answers_no_json)
  return effect(out, "all is well");
#elif defined(WAY_answers_invalid_utf8)
  return effect(out, "{\"effect\":\"report\",\"report\":{\"version\":\"\xc3\x28\"}}");
#elif defined(WAY_wants_an_unknown_effect)
  return effect(out, "{\"effect\":\"run\",\"argv\":[\"reboot\"]}");
#elif defined(WAY_says_nothing)
  return AIM_OK;
#elif defined(WAY_reports_too_many_models)
  put(out, "{\"effect\":\"report\",\"report\":{\"models\":[{\"id\":\"0\"}");
  for (int i = 1; i <= 2000; i++) {
    char model[32];
    snprintf(model, sizeof model, ",{\"id\":\"%d\"}", i);
    put(out, model);
  }
  return effect(out, "]}}");
#elif defined(WAY_asks_for_another_route)
  return effect(out, "{\"effect\":\"request\",\"method\":\"POST\",\"path\":\"/delete\",\"timeout_ms\":4000}");
#elif defined(WAY_opens_a_file)
  open("/etc/passwd", O_RDONLY);
#elif defined(WAY_opens_a_socket)
  socket(AF_INET, SOCK_STREAM, 0);
#elif defined(WAY_forks)
  fork();
#elif defined(WAY_runs_a_program)
  execl("/bin/true", "true", (char *)NULL);
#elif defined(WAY_sends_a_signal)
  /* To itself: whoever is not fenced in must hurt nobody else. */
  kill(getpid(), SIGUSR1);
#elif defined(WAY_gives_up)
  put(out, "too hard");
  return AIM_ERROR;
#elif defined(WAY_prints)
  /* Bad manners, and no harm: more than a pipe holds. */
  for (int i = 0; i < 4000; i++) {
    printf("a line of a plugin that prints to its standard output\n");
    fputs("and one to its standard error\n", stderr);
  }
  fflush(stdout);
#endif
  return effect(out, REPORT);
}

static int32_t step(void *session, const uint8_t *event, size_t len, const aim_sink *out) {
  (void)session;
  static const char START[] = "{\"event\":\"start\"";
  if (len >= sizeof START - 1 && memcmp(event, START, sizeof START - 1) == 0)
    return effect(out, ASK);
  return answered(out);
}

static void destroy(void *session) {
  free(session);
#if defined(WAY_crashes_in_destroy)
  segfault();
#elif defined(WAY_hangs_in_destroy)
  spin();
#endif
}

const aim_plugin ai_monitor_plugin_v1 = {AIM_ABI, sizeof(aim_plugin), manifest, create, step, destroy, NULL};
