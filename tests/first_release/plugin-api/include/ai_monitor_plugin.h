/*
 * ai_monitor_plugin.h: the border between ai-monitor and its probe plugins. Contract 1, ABI 1.
 *
 * A session is a pure function of its events: no I/O, clock, thread, randomness, file or environment. The host hands
 * in one event (JSON), the plugin writes one effect (JSON), the host does it and comes back with the next event.
 * docs/plugins/contract.md tells what the events and effects are, docs/plugins/promise.md what may change.
 *
 * Nothing allocated on one side is freed on the other. No pointer outlives its call, except the table, what
 * `extension` returns, and the session. No exception, panic or longjmp may cross. No function blocks: a call that
 * takes longer than a second is killed. All text is UTF-8, without a byte order mark, and not NUL-terminated unless
 * said.
 */
#ifndef AI_MONITOR_PLUGIN_H
#define AI_MONITOR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order, types and rules of the table below. */
#define AIM_ABI 1u

/* What functions return. Any other value is taken for AIM_ERROR. */
enum { AIM_OK = 0, AIM_ERROR = 1, AIM_PANIC = 2 };

/* Where a function writes its output. Owned by the host, valid only during the call.
 * put may be called several times (it appends). It returns 0, or 1 when the limit is
 * passed: stop writing and return AIM_ERROR. */
typedef struct aim_sink {
  void *ctx;
  int32_t (*put)(void *ctx, const uint8_t *bytes, size_t len);
} aim_sink;

/* The table. No function pointer is NULL, but `extension` may be. */
typedef struct aim_plugin {
  /* AIM_ABI. Read first; nothing else is read if it differs. */
  uint32_t abi;
  /* sizeof(aim_plugin) as the plugin was compiled. A later minor may add fields at the end; who reads them looks at
   * this first. */
  uint32_t size;
  /* Write the manifest: AIM_OK, or AIM_ERROR. [any thread, any time, concurrent; always the same bytes] */
  int32_t (*manifest)(const aim_sink *out);
  /* Make a session; it has seen nothing yet. On AIM_ERROR *session stays NULL and `err` holds text.
   * [any thread, concurrent] */
  int32_t (*create)(void **session, const aim_sink *err);
  /* Take one event, write one effect (AIM_OK), or text that says what failed (AIM_ERROR, AIM_PANIC: the session is
   * over, only destroy may follow). The effect `report` ends the session, too. `event` is compact UTF-8 JSON with
   * "event" as its first key, not NUL-terminated, valid only during the call.
   * [one thread at a time per session, not always the same one; different sessions run concurrently] */
  int32_t (*step)(void *session, const uint8_t *event, size_t len, const aim_sink *out);
  /* Free the session. Allowed after any step, finished or not: this is how a session is cancelled. Never fails.
   * Called once for each session that `create` made. [as step] */
  void (*destroy)(void *session);
  /* A static table for "name/revision", or NULL. Id is NUL-terminated. [any thread, concurrent] */
  const void *(*extension)(const char *id);
} aim_plugin;

/* The layout that the host expects: plain, unpacked, and all pointers of one size. */
#if defined(__cplusplus) && (__cplusplus >= 201103L || (defined(_MSC_VER) && _MSC_VER >= 1900))
#define AIM_LAYOUT(what) static_assert(what, #what)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define AIM_LAYOUT(what) _Static_assert(what, #what)
#endif
#ifdef AIM_LAYOUT
AIM_LAYOUT(offsetof(aim_sink, put) == sizeof(void *));
AIM_LAYOUT(sizeof(aim_sink) == 2 * sizeof(void *));
AIM_LAYOUT(offsetof(aim_plugin, abi) == 0);
AIM_LAYOUT(offsetof(aim_plugin, size) == 4);
AIM_LAYOUT(offsetof(aim_plugin, manifest) == 8);
AIM_LAYOUT(offsetof(aim_plugin, create) == 8 + sizeof(void *));
AIM_LAYOUT(offsetof(aim_plugin, step) == 8 + 2 * sizeof(void *));
AIM_LAYOUT(offsetof(aim_plugin, destroy) == 8 + 3 * sizeof(void *));
AIM_LAYOUT(offsetof(aim_plugin, extension) == 8 + 4 * sizeof(void *));
#undef AIM_LAYOUT
#endif

#if defined(_WIN32)
#define AIM_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define AIM_EXPORT __attribute__((visibility("default")))
#else
#define AIM_EXPORT
#endif

/* The one exported symbol: data, not a function, so that abi and size are read without running plugin code. This
 * declaration exports it; the plugin defines it:
 *
 *     const aim_plugin ai_monitor_plugin_v1 = { AIM_ABI, sizeof(aim_plugin), ... };
 */
extern AIM_EXPORT const aim_plugin ai_monitor_plugin_v1;

#ifdef __cplusplus
}
#endif

#endif
