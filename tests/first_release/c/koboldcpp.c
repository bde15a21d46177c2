/*
 * A probe plugin in C: this file and the header, no library beside the C standard's.
 *
 *   Linux     cc -std=c99 -O2 -shared -fPIC -I ../../plugin-api/include -o koboldcpp.so koboldcpp.c
 *   macOS     cc -std=c99 -O2 -dynamiclib -I ../../plugin-api/include -o koboldcpp.dylib koboldcpp.c
 *   Windows   gcc -std=c99 -O2 -shared -I ../../plugin-api/include -o koboldcpp.dll koboldcpp.c      (MinGW)
 *
 * The library and koboldcpp.json go into the plugin folder together.
 *
 * It watches KoboldCpp, a local server of GGUF models. What it asks, from KoboldCpp's API reference (kcpp_docs.embd,
 * shown by the server at /api) and from koboldcpp.py 1.76, do_GET, https://github.com/LostRuins/koboldcpp:
 *
 *   GET /api/extra/version   {"result":"KoboldCpp","version":"1.76",...}
 *   GET /api/v1/model        {"result":"koboldcpp/NAME"}; "inactive" where none is loaded, and for a caller without
 *                            the password "koboldcpp/protected-model", which is no name
 *   GET /api/extra/perf      {"queue":0,"idle":1,...}: requests that wait, and 0 while one is worked on
 *
 * None of them loads a model or makes it work. /api/extra/perf also counts generations, but only when they end: such
 * a number stands still in the midst of work, so it is no counter of the contract and is not reported.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ai_monitor_plugin.h"

/* The same as koboldcpp.json: the host compares them. Blanks and the order of keys do not count. */
static const char MANIFEST[] =
    "{\n"
    "  \"contract\": \"1.0\",\n"
    "  \"abi\": 1,\n"
    "  \"id\": \"koboldcpp\",\n"
    "  \"version\": \"1.0.0\",\n"
    "  \"label\": \"KoboldCpp\",\n"
    "  \"ports\": [5001],\n"
    "  \"identify\": [\n"
    "    { \"is\": \"certain\", \"all\": [{ \"get\": \"/api/extra/version\", \"equals\": { \"/result\": \"KoboldCpp\" } }] }\n"
    "  ],\n"
    "  \"probes\": {\n"
    "    \"liveness\": { \"routes\": [\"GET /api/extra/version\"], \"deadline_ms\": 5000 },\n"
    "    \"readiness\": { \"routes\": [\"GET /api/extra/version\", \"GET /api/v1/model\"], \"deadline_ms\": 10000 },\n"
    "    \"progress\": { \"routes\": [\"GET /api/extra/version\", \"GET /api/extra/perf\"], \"deadline_ms\": 10000 }\n"
    "  },\n"
    "  \"process\": {\n"
    "    \"main\": [\"koboldcpp\", \"koboldcpp.exe\", \"koboldcpp-linux-x64\", \"koboldcpp-mac-arm64\"]\n"
    "  }\n"
    "}\n";

/* ---- JSON, as far as it is needed: a text is checked whole, then members are looked up in it. ---- */

typedef struct {
  const unsigned char *at, *end;
} text;

/* Deeper than this nobody answers who means well, and our stack is safe. */
enum { DEPTH_MAX = 32 };

static void skip_space(text *t) {
  while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r')) t->at++;
}

static bool skip_byte(text *t, char byte) {
  if (t->at == t->end || *t->at != (unsigned char)byte) return false;
  t->at++;
  return true;
}

static bool skip_word(text *t, const char *word) {
  size_t len = strlen(word);
  if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0) return false;
  t->at += len;
  return true;
}

static int hex_digit(int c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Four hexadecimal digits, or -1. */
static long skip_hex4(text *t) {
  long value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = t->at < t->end ? hex_digit(*t->at) : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
    t->at++;
  }
  return value;
}

/* Length of the UTF-8 sequence at `t`, 0 where there is none (overlong, a surrogate, beyond Unicode, cut). */
static size_t utf8_sequence(text t) {
  const unsigned char *p = t.at;
  size_t left = (size_t)(t.end - t.at), len;
  if (left == 0) return 0;
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) len = 2;
  else if (p[0] >= 0xE0 && p[0] <= 0xEF) len = 3;
  else if (p[0] >= 0xF0 && p[0] <= 0xF4) len = 4;
  else return 0;
  if (left < len) return 0;
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) return 0;
  if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
  return len;
}

static size_t utf8_encode(long point, unsigned char out[4]) {
  if (point < 0x80) return out[0] = (unsigned char)point, 1;
  if (point < 0x800) {
    out[0] = (unsigned char)(0xC0 | point >> 6);
    out[1] = (unsigned char)(0x80 | (point & 0x3F));
    return 2;
  }
  if (point < 0x10000) {
    out[0] = (unsigned char)(0xE0 | point >> 12);
    out[1] = (unsigned char)(0x80 | (point >> 6 & 0x3F));
    out[2] = (unsigned char)(0x80 | (point & 0x3F));
    return 3;
  }
  out[0] = (unsigned char)(0xF0 | point >> 18);
  out[1] = (unsigned char)(0x80 | (point >> 12 & 0x3F));
  out[2] = (unsigned char)(0x80 | (point >> 6 & 0x3F));
  out[3] = (unsigned char)(0x80 | (point & 0x3F));
  return 4;
}

/* Reads a string. With `out`, its value goes there as UTF-8 with a NUL behind it. False: it is no string, it is cut,
 * or it does not fit. *len is the value's length; a NUL may be within. */
static bool read_string(text *t, char *out, size_t size, size_t *len) {
  size_t used = 0;
  if (!skip_byte(t, '"')) return false;
  while (t->at < t->end && *t->at != '"') {
    unsigned char encoded[4];
    const unsigned char *from = t->at;
    size_t count;
    if (*t->at < 0x20) return false;
    if (*t->at != '\\') {
      count = utf8_sequence(*t);
      if (count == 0) return false;
      t->at += count;
    } else {
      static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
      const char *found;
      t->at++;
      if (t->at == t->end) return false;
      from = encoded;
      if (*t->at == 'u') {
        long point, low;
        t->at++;
        if ((point = skip_hex4(t)) < 0) return false;
        if (point >= 0xD800 && point <= 0xDBFF) {
          text pair = *t;
          if (skip_word(&pair, "\\u") && (low = skip_hex4(&pair)) >= 0xDC00 && low <= 0xDFFF) {
            point = 0x10000 + (point - 0xD800) * 0x400 + (low - 0xDC00);
            *t = pair;
          }
        }
        /* Half of a pair alone is no character. */
        if (point >= 0xD800 && point <= 0xDFFF) point = 0xFFFD;
        count = utf8_encode(point, encoded);
      } else if (*t->at != '\0' && (found = strchr(plain, *t->at)) != NULL) {
        encoded[0] = (unsigned char)meant[found - plain];
        count = 1;
        t->at++;
      } else {
        return false;
      }
    }
    if (out) {
      if (count >= size - used) return false;
      memcpy(out + used, from, count);
      used += count;
    }
  }
  if (!skip_byte(t, '"')) return false;
  if (out) out[used] = '\0';
  if (len) *len = used;
  return true;
}

static bool skip_digits(text *t) {
  const unsigned char *from = t->at;
  while (t->at < t->end && *t->at >= '0' && *t->at <= '9') t->at++;
  return t->at > from;
}

static bool skip_number(text *t) {
  skip_byte(t, '-');
  if (!skip_byte(t, '0') && !skip_digits(t)) return false;
  if (skip_byte(t, '.') && !skip_digits(t)) return false;
  if (skip_byte(t, 'e') || skip_byte(t, 'E')) {
    if (!skip_byte(t, '+')) skip_byte(t, '-');
    return skip_digits(t);
  }
  return true;
}

/* Goes over one whole value. False: it is not JSON, it is cut, or it is too deep. */
static bool skip_value(text *t, int depth) {
  skip_space(t);
  if (t->at == t->end || depth > DEPTH_MAX) return false;
  if (*t->at == '"') return read_string(t, NULL, 0, NULL);
  if (*t->at == '{' || *t->at == '[') {
    bool object = *t->at++ == '{';
    char close = object ? '}' : ']';
    skip_space(t);
    if (skip_byte(t, close)) return true;
    for (;;) {
      if (object) {
        skip_space(t);
        if (!read_string(t, NULL, 0, NULL)) return false;
        skip_space(t);
        if (!skip_byte(t, ':')) return false;
      }
      if (!skip_value(t, depth + 1)) return false;
      skip_space(t);
      if (skip_byte(t, close)) return true;
      if (!skip_byte(t, ',')) return false;
    }
  }
  return skip_word(t, "true") || skip_word(t, "false") || skip_word(t, "null") || skip_number(t);
}

static bool is_object(text t) {
  skip_space(&t);
  if (t.at == t.end || *t.at != '{' || !skip_value(&t, 0)) return false;
  skip_space(&t);
  return t.at == t.end;
}

/* The value of a member of a text that is_object. False: there is none. */
static bool member(text t, const char *name, text *value) {
  skip_space(&t);
  if (!skip_byte(&t, '{')) return false;
  for (;;) {
    char key[32];
    text whole, at_key;
    bool fits;
    skip_space(&t);
    at_key = t;
    fits = read_string(&at_key, key, sizeof key, NULL);
    if (!read_string(&t, NULL, 0, NULL)) return false;
    skip_space(&t);
    if (!skip_byte(&t, ':')) return false;
    skip_space(&t);
    whole = t;
    if (!skip_value(&t, 1)) return false;
    if (fits && strcmp(key, name) == 0) {
      value->at = whole.at;
      value->end = t.at;
      return true;
    }
    skip_space(&t);
    if (!skip_byte(&t, ',')) return false;
  }
}

/* A member that is a string of less than `size` bytes. */
static bool member_string(text t, const char *name, char *out, size_t size, size_t *len) {
  text value;
  return member(t, name, &value) && read_string(&value, out, size, len);
}

/* A member that is a whole number from 0 to a million: more are no requests of one machine. */
static bool member_count(text t, const char *name, long *out) {
  text value;
  long count = 0;
  if (!member(t, name, &value) || value.at == value.end) return false;
  for (; value.at < value.end; value.at++) {
    if (*value.at < '0' || *value.at > '9') return false;
    count = count * 10 + (*value.at - '0');
    if (count > 1000000) return false;
  }
  *out = count;
  return true;
}

/* ---- Writing ---- */

/* Where output goes. Once the sink is full nothing more is written. */
typedef struct {
  const aim_sink *sink;
  bool full;
} writer;

static void put_bytes(writer *w, const void *bytes, size_t len) {
  if (!w->full && w->sink->put(w->sink->ctx, (const uint8_t *)bytes, len) != 0) w->full = true;
}

static void put(writer *w, const char *s) {
  put_bytes(w, s, strlen(s));
}

static void put_number(writer *w, long number) {
  char digits[24], *at = digits + sizeof digits;
  do *--at = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  put_bytes(w, at, (size_t)(digits + sizeof digits - at));
}

/* A JSON string of valid UTF-8. */
static void put_string(writer *w, const char *s) {
  static const char hex[] = "0123456789abcdef";
  put(w, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') {
      char escape[2] = {'\\', *s};
      put_bytes(w, escape, 2);
    } else if (c < 0x20) {
      char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
      put_bytes(w, escape, 6);
    } else {
      put_bytes(w, s, 1);
    }
  }
  put(w, "\"");
}

static int32_t done(const writer *w, int32_t code) {
  return w->full ? AIM_ERROR : code;
}

static int32_t fail(const aim_sink *out, const char *why) {
  writer w = {out, false};
  put(&w, why);
  return AIM_ERROR;
}

/* ---- The session ---- */

/* The answers are some hundred bytes; what is larger is not theirs. */
#define BODY_MAX 16384
#define BODY_MAX_TEXT "16384"

/* What an answer was, where the host's outcome is wrong. */
typedef struct {
  const char *outcome, *why;
} judgement;

typedef struct {
  enum { NEW, ASKED, OVER } state;
  enum { LIVENESS, READINESS, PROGRESS } depth;
  long asked; /* requests so far */
  judgement judged[2];
  char version[64];
  bool model_known, model_loaded;
  char model[256];
  bool running_known, queued_known;
  long running, queued;
  /* A bad byte of an answer comes as three of U+FFFD. */
  char body[3 * BODY_MAX + 1];
} session;

static const judgement NOT_JSON = {"malformed", "the body is no JSON object"};

/* `of` is the depth that the answer is evidence for. */
static int32_t request(session *s, const char *path, const char *of, const aim_sink *out) {
  writer w = {out, false};
  s->state = ASKED;
  s->asked++;
  put(&w, "{\"effect\":\"request\",\"method\":\"GET\",\"path\":\"");
  put(&w, path);
  put(&w, "\",\"of\":\"");
  put(&w, of);
  put(&w, "\",\"timeout_ms\":4000,\"max_bytes\":" BODY_MAX_TEXT "}");
  return done(&w, AIM_OK);
}

/* What was seen, and no more: what is not known stays out. */
static int32_t report(session *s, const aim_sink *out) {
  writer w = {out, false};
  const char *comma = "";
  s->state = OVER;
  put(&w, "{\"effect\":\"report\",\"report\":{");
  if (s->version[0]) {
    put(&w, "\"version\":");
    put_string(&w, s->version);
    comma = ",";
  }
  if (s->judged[0].outcome || s->judged[1].outcome) {
    const char *between = "";
    put(&w, comma);
    put(&w, "\"judged\":[");
    for (long i = 0; i < 2; i++) {
      if (!s->judged[i].outcome) continue;
      put(&w, between);
      put(&w, "{\"request\":");
      put_number(&w, i);
      put(&w, ",\"outcome\":\"");
      put(&w, s->judged[i].outcome);
      put(&w, "\",\"text\":");
      put_string(&w, s->judged[i].why);
      put(&w, "}");
      between = ",";
    }
    put(&w, "]");
    comma = ",";
  }
  if (s->model_loaded) {
    put(&w, comma);
    put(&w, "\"phase\":\"ready\"");
    comma = ",";
  }
  if (s->model_known) {
    put(&w, comma);
    put(&w, "\"models\":[");
    if (s->model_loaded) {
      put(&w, "{\"id\":");
      put_string(&w, s->model);
      put(&w, ",\"state\":\"loaded\"}");
    }
    put(&w, "]");
    comma = ",";
  }
  if (s->running_known) {
    put(&w, comma);
    put(&w, "\"engines\":[{\"id\":\"koboldcpp\",\"running\":");
    put_number(&w, s->running);
    if (s->queued_known) {
      put(&w, ",\"queued\":");
      put_number(&w, s->queued);
    }
    put(&w, ",\"capacity\":1}]");
  }
  put(&w, "}}");
  return done(&w, AIM_OK);
}

static judgement read_version(session *s, text body) {
  static const judgement fine = {NULL, NULL}, foreign = {"foreign", "/result is not KoboldCpp"},
                         silent = {"malformed", "/version is missing, empty or no text"};
  char name[16];
  size_t len;
  if (!is_object(body)) return NOT_JSON;
  if (!member_string(body, "result", name, sizeof name, NULL) || strcmp(name, "KoboldCpp") != 0) return foreign;
  if (!member_string(body, "version", s->version, sizeof s->version, &len) || len == 0 || strlen(s->version) != len) {
    s->version[0] = '\0';
    return silent;
  }
  return fine;
}

static judgement read_model(session *s, text body) {
  static const judgement fine = {NULL, NULL}, silent = {"malformed", "/result is missing, empty or no text"};
  size_t len;
  if (!is_object(body)) return NOT_JSON;
  if (!member_string(body, "result", s->model, sizeof s->model, &len) || len == 0 || strlen(s->model) != len) {
    return silent;
  }
  s->model_loaded = strcmp(s->model, "inactive") != 0;
  s->model_known = strcmp(s->model, "koboldcpp/protected-model") != 0;
  return fine;
}

static judgement read_work(session *s, text body) {
  static const judgement fine = {NULL, NULL}, silent = {"malformed", "/idle is missing or no count"};
  long idle;
  if (!is_object(body)) return NOT_JSON;
  if (!member_count(body, "idle", &idle)) return silent;
  s->running = idle == 0 ? 1 : 0;
  s->running_known = true;
  /* Early versions do not tell it. */
  s->queued_known = member_count(body, "queue", &s->queued);
  return fine;
}

static int32_t on_start(session *s, text event, const aim_sink *out) {
  char word[16];
  if (!member_string(event, "session", word, sizeof word, NULL)) return fail(out, "`session` is missing");
  if (strcmp(word, "repair") == 0) {
    writer w = {out, false};
    s->state = OVER;
    put(&w, "{\"effect\":\"report\",\"report\":{\"result\":\"unsupported\"}}");
    return done(&w, AIM_OK);
  }
  if (!member_string(event, "depth", word, sizeof word, NULL)) return fail(out, "`depth` is missing");
  if (strcmp(word, "liveness") == 0) s->depth = LIVENESS;
  else if (strcmp(word, "readiness") == 0) s->depth = READINESS;
  else if (strcmp(word, "progress") == 0) s->depth = PROGRESS;
  else return fail(out, "there are no probes of this depth");
  return request(s, "/api/extra/version", "liveness", out);
}

static int32_t on_response(session *s, text event, const aim_sink *out) {
  char outcome[16];
  long number;
  text body;
  size_t len;
  judgement *judged;
  if (!member_count(event, "request", &number) || number != s->asked - 1 || number > 1) {
    return fail(out, "an answer to another request");
  }
  /* An outcome that did not fit is one that is not known: a failure. Nothing more can be learnt from it. */
  if (!member_string(event, "outcome", outcome, sizeof outcome, NULL) || strcmp(outcome, "ok") != 0) {
    return report(s, out);
  }
  judged = &s->judged[number];
  if (!member_string(event, "body", s->body, sizeof s->body, &len)) {
    judged->outcome = "malformed";
    judged->why = "there is no body, or it is too large";
    return report(s, out);
  }
  body.at = (const unsigned char *)s->body;
  body.end = body.at + len;
  if (number == 1) {
    *judged = s->depth == READINESS ? read_model(s, body) : read_work(s, body);
    return report(s, out);
  }
  *judged = read_version(s, body);
  /* Another program's answers would tell nothing of ours. */
  if (judged->outcome && strcmp(judged->outcome, "foreign") == 0) return report(s, out);
  switch (s->depth) {
    case READINESS: return request(s, "/api/v1/model", "readiness", out);
    case PROGRESS: return request(s, "/api/extra/perf", "progress", out);
    default: return report(s, out);
  }
}

/* ---- The table ---- */

static int32_t manifest(const aim_sink *out) {
  writer w = {out, false};
  put(&w, MANIFEST);
  return done(&w, AIM_OK);
}

static int32_t create(void **made, const aim_sink *err) {
  session *s = calloc(1, sizeof *s);
  if (!s) return fail(err, "no memory");
  *made = s;
  return AIM_OK;
}

static int32_t step(void *handle, const uint8_t *bytes, size_t len, const aim_sink *out) {
  session *s = handle;
  text event = {bytes, bytes + len};
  char name[16];
  int32_t code;
  if (s->state == OVER) return fail(out, "the session is over");
  if (!is_object(event) || !member_string(event, "event", name, sizeof name, NULL)) {
    code = fail(out, "the event cannot be read");
  } else if (s->state == NEW && strcmp(name, "start") == 0) {
    code = on_start(s, event, out);
  } else if (s->state == ASKED && strcmp(name, "response") == 0) {
    code = on_response(s, event, out);
  } else {
    code = fail(out, "the event came out of turn");
  }
  if (code != AIM_OK) s->state = OVER;
  return code;
}

static void destroy(void *handle) {
  free(handle);
}

static const void *extension(const char *id) {
  (void)id;
  return NULL;
}

const aim_plugin ai_monitor_plugin_v1 = {
    AIM_ABI, (uint32_t)sizeof(aim_plugin), manifest, create, step, destroy, extension,
};
