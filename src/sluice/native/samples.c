/* Samples of tars, many at a call: each read by one call to the system, its image straight into the bytes handed out.
 *
 * A sample whose tar is not of the plain kind that Sluice writes is left to Python, which knows pax headers and says what
 * is wrong. What is used of Python is its stable interface, declared here so that no header of a version is needed.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "kernels.h"

typedef struct _object PyObject;
extern void Py_IncRef(PyObject *), Py_DecRef(PyObject *), PyErr_Clear(void);
extern PyObject *PyBytes_FromStringAndSize(const char *, ptrdiff_t);
extern char *PyBytes_AsString(PyObject *);
extern PyObject *PyUnicode_FromStringAndSize(const char *, ptrdiff_t);
extern PyObject *PyDict_New(void), *PyTuple_New(ptrdiff_t);
extern int PyDict_SetItem(PyObject *, PyObject *, PyObject *);
extern int PyList_SetItem(PyObject *, ptrdiff_t, PyObject *), PyTuple_SetItem(PyObject *, ptrdiff_t, PyObject *);
extern void *PyEval_SaveThread(void);
extern void PyEval_RestoreThread(void *);

enum { BLOCK = 512, LONGEST = 100, AT_ONCE = 256, IMAGES = 64 };

typedef struct {
    int64_t offset, size, image_offset, image_size;
} Place;

static int64_t padded(int64_t size) { return (size + BLOCK - 1) / BLOCK * BLOCK; }

/* Read on until all parts are full; they are used up on the way. */
static int read_parts(int file, struct iovec *parts, int count, int64_t offset) {
    while (count > 0) {
        ssize_t got = preadv(file, parts, count, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        offset += got;
        while (count > 0 && (size_t)got >= parts->iov_len) got -= (ssize_t)parts->iov_len, parts++, count--;
        if (count > 0) parts->iov_base = (char *)parts->iov_base + got, parts->iov_len -= (size_t)got;
    }
    return 0;
}

static int64_t octal(const uint8_t *digits, int count) {
    int64_t value = 0;
    for (int at = 0; at < count; at++) {
        if (digits[at] < '0' || digits[at] > '7') return -1;
        value = value * 8 + digits[at] - '0';
    }
    return value;
}

/* The size in a regular file's header whose name is `id`, a dot and an extension; -1 for any other block. */
static int64_t member_size(const uint8_t *block, const char *id, size_t id_size, size_t *name_size) {
    static const char before[] = "0000644\0000000000\0000000000", time[] = "00000000000", magic[] = "ustar\00000";
    uint32_t sum = 8 * ' ';
    for (int at = 0; at < BLOCK; at++) sum += block[at];
    for (int at = 148; at < 156; at++) sum -= block[at];
    size_t length = 0;
    while (length < LONGEST && block[length]) {
        if (block[length++] & 0x80) return -1;
    }
    if (length <= id_size + 1 || memcmp(block, id, id_size) || block[id_size] != '.') return -1;
    for (size_t at = length; at < LONGEST; at++) {
        if (block[at]) return -1;
    }
    if (memcmp(block + LONGEST, before, sizeof before) || memcmp(block + 136, time, sizeof time)) return -1;
    if (block[135] || block[156] != '0' || memcmp(block + 257, magic, sizeof magic - 1)) return -1;
    if (octal(block + 148, 6) != (int64_t)sum || block[154] || block[155] != ' ') return -1;
    *name_size = length;
    return octal(block + 124, 11);
}

static int is_text(const uint8_t *extension, size_t size) {
    return (size == 4 && !memcmp(extension, "json", 4)) ||
           (size == 3 && (!memcmp(extension, "txt", 3) || !memcmp(extension, "cls", 3)));
}

/* What a sample has: parts by extension, and those of them that are images, in order. */
typedef struct {
    PyObject *parts, *caption, *images[IMAGES];
    int count;
} Members;

/* Find the members; whether Python is to look. `around` holds the bytes before the image, then those after it. */
static int find_members(const Place *place, const uint8_t *around, const char *id, size_t id_size, PyObject *image,
                        Members *found) {
    int64_t before = place->image_offset - place->offset, at = 0, end = place->size;
    while (at < end) {
        int64_t gap = at < before ? 0 : place->image_size; /* of what is in the tar and not in `around` */
        const uint8_t *block = around + at - gap;
        size_t name_size = 0;
        int64_t size = -1, limit = at < before ? before : end;
        if (at + BLOCK <= limit) size = member_size(block, id, id_size, &name_size);
        int64_t data = at + BLOCK;
        int is_image = data == before;
        if (size < 0 || (is_image ? size != place->image_size : data + padded(size) > limit)) return -1;
        const uint8_t *extension = block + id_size + 1;
        size_t length = name_size - id_size - 1;
        PyObject *name = PyUnicode_FromStringAndSize((const char *)extension, (ptrdiff_t)length);
        PyObject *body = image;
        if (is_image) Py_IncRef(image);
        else body = PyBytes_FromStringAndSize((const char *)block + BLOCK, (ptrdiff_t)size);
        int failed = !name || !body || PyDict_SetItem(found->parts, name, body);
        if (!failed && !is_text(extension, length)) {
            failed = found->count == IMAGES;
            if (!failed) Py_IncRef(body), found->images[found->count++] = body;
        }
        if (name) Py_DecRef(name);
        if (body) Py_DecRef(body);
        if (failed) return -1;
        if (length == 3 && !memcmp(extension, "txt", 3)) {
            if (found->caption) Py_DecRef(found->caption);
            found->caption = PyUnicode_FromStringAndSize((const char *)block + BLOCK, (ptrdiff_t)size);
            if (!found->caption) return -1; /* no UTF-8 */
        }
        at = data + padded(size);
    }
    return at != end;
}

/* A sample that is being read: its image, and where the bytes beside it lie; no image: Python is to look. */
typedef struct {
    PyObject *image;
    uint8_t *around;
} Reading;

/* Python's lists, of as many None as there are samples. */
typedef struct {
    PyObject *images, *captions, *parts;
} Lists;

static int64_t beside(const Place *place) { return place->size - place->image_size; }

static int is_plain(const Place *place) {
    int64_t before = place->image_offset - place->offset;
    return place->image_size >= 0 && place->image_size <= place->size && before >= BLOCK && before <= beside(place);
}

static int read_sample(int file, const Place *place, const Reading *reading, char *image) {
    int64_t before = place->image_offset - place->offset;
    struct iovec parts[] = {{reading->around, (size_t)before},
                            {image, (size_t)place->image_size},
                            {reading->around + before, (size_t)(beside(place) - before)}};
    return read_parts(file, parts, 3, place->offset);
}

/* Write a sample that was read into place `at` of the lists; nothing where Python is to look. */
static void give(const Place *place, const char *id, size_t id_size, const Reading *reading, const Lists *lists,
                 ptrdiff_t at) {
    Members found = {.parts = PyDict_New()};
    int odd = !found.parts || find_members(place, reading->around, id, id_size, reading->image, &found);
    PyObject *images = odd ? NULL : PyTuple_New(found.count);
    for (int number = 0; number < found.count; number++) {
        if (images) PyTuple_SetItem(images, number, found.images[number]);
        else Py_DecRef(found.images[number]);
    }
    if (images) {
        PyList_SetItem(lists->images, at, images);
        PyList_SetItem(lists->parts, at, found.parts);
        if (found.caption) PyList_SetItem(lists->captions, at, found.caption);
        return;
    }
    if (found.parts) Py_DecRef(found.parts);
    if (found.caption) Py_DecRef(found.caption);
    PyErr_Clear();
}

/* Make room for samples from the first on, as many as `around` has room for; how many those are. */
static int64_t make_room(const Place *places, int64_t count, uint8_t *around, int64_t room, Reading *readings) {
    int64_t used = 0, taken = 0;
    for (; taken < count && taken < AT_ONCE; taken++) {
        const Place *place = places + taken;
        readings[taken].image = NULL;
        if (!is_plain(place) || beside(place) > room) continue;
        if (used + beside(place) > room) break;
        readings[taken].image = PyBytes_FromStringAndSize(NULL, (ptrdiff_t)place->image_size);
        if (!readings[taken].image) PyErr_Clear();
        readings[taken].around = around + used;
        used += beside(place);
    }
    return taken;
}

/* For each of `count` samples, whose id is `id_size` bytes of `ids`: write its images, its caption, if it has one, and its
 * parts into the lists, as its tar has them at its place; nothing where Python is to look. `around` is room for what is no
 * image. Python's lock is let go of once for many samples, of whatever tars: threads that take turns at it more often wait
 * for each other most of the time. */
EXPORT void sluice_tar_samples(int64_t count, const int32_t *files, const Place *places, const char *ids,
                               int64_t id_size, uint8_t *around, int64_t room, PyObject *images, PyObject *captions,
                               PyObject *parts) {
    Lists lists = {images, captions, parts};
    Reading readings[AT_ONCE];
    char *bytes[AT_ONCE];
    uint8_t failed[AT_ONCE];
    for (int64_t first = 0, taken; first < count; first += taken) {
        taken = make_room(places + first, count - first, around, room, readings);
        for (int64_t at = 0; at < taken; at++)
            bytes[at] = readings[at].image ? PyBytes_AsString(readings[at].image) : NULL;
        void *thread = PyEval_SaveThread();
        for (int64_t at = 0; at < taken; at++)
            failed[at] = !bytes[at] || read_sample(files[first + at], places + first + at, readings + at, bytes[at]);
        PyEval_RestoreThread(thread);
        for (int64_t at = 0; at < taken; at++) {
            const char *id = ids + (first + at) * id_size;
            if (!failed[at]) give(places + first + at, id, (size_t)id_size, readings + at, &lists, (ptrdiff_t)(first + at));
            if (readings[at].image) Py_DecRef(readings[at].image);
        }
    }
}
