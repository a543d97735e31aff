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
extern PyObject _Py_NoneStruct;
extern void Py_IncRef(PyObject *), Py_DecRef(PyObject *), PyErr_Clear(void);
extern PyObject *PyBytes_FromStringAndSize(const char *, ptrdiff_t);
extern char *PyBytes_AsString(PyObject *);
extern PyObject *PyUnicode_FromStringAndSize(const char *, ptrdiff_t);
extern PyObject *PyDict_New(void), *PyTuple_New(ptrdiff_t), *PyList_New(ptrdiff_t), *PyList_AsTuple(PyObject *);
extern int PyDict_SetItem(PyObject *, PyObject *, PyObject *), PyList_Append(PyObject *, PyObject *);
extern int PyList_SetItem(PyObject *, ptrdiff_t, PyObject *), PyTuple_SetItem(PyObject *, ptrdiff_t, PyObject *);
extern void *PyEval_SaveThread(void);
extern void PyEval_RestoreThread(void *);

enum { BLOCK = 512, LONGEST = 100 };

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

/* Put the members into `parts` and `images`; the caption, None where there is no text, or NULL where Python is to look.
 * `around` holds the bytes before the image, then those after it. */
static PyObject *members(const Place *place, const uint8_t *around, const char *id, size_t id_size, PyObject *image,
                         PyObject *parts, PyObject *images) {
    int64_t before = place->image_offset - place->offset, at = 0, end = place->size;
    PyObject *caption = &_Py_NoneStruct;
    Py_IncRef(caption);
    while (at < end) {
        int64_t gap = at < before ? 0 : place->image_size; /* of what is in the tar and not in `around` */
        const uint8_t *block = around + at - gap;
        size_t name_size = 0;
        int64_t size = -1, limit = at < before ? before : end;
        if (at + BLOCK <= limit) size = member_size(block, id, id_size, &name_size);
        int64_t data = at + BLOCK;
        int is_image = data == before;
        if (size < 0 || (is_image ? size != place->image_size : data + padded(size) > limit)) goto odd;
        const uint8_t *extension = block + id_size + 1;
        size_t length = name_size - id_size - 1;
        PyObject *name = PyUnicode_FromStringAndSize((const char *)extension, (ptrdiff_t)length);
        PyObject *body = image;
        if (is_image) Py_IncRef(image);
        else body = PyBytes_FromStringAndSize((const char *)block + BLOCK, (ptrdiff_t)size);
        int failed = !name || !body || PyDict_SetItem(parts, name, body);
        if (!failed && !is_text(extension, length)) failed = PyList_Append(images, body);
        if (name) Py_DecRef(name);
        if (body) Py_DecRef(body);
        if (failed) goto odd;
        if (length == 3 && !memcmp(extension, "txt", 3)) {
            Py_DecRef(caption);
            caption = PyUnicode_FromStringAndSize((const char *)block + BLOCK, (ptrdiff_t)size);
            if (!caption) return NULL; /* no UTF-8 */
        }
        at = data + padded(size);
    }
    if (at == end) return caption;
odd:
    Py_DecRef(caption);
    return NULL;
}

/* (images, caption, parts) of one sample, or NULL. */
static PyObject *sample(int file, const Place *place, const char *id, size_t id_size, uint8_t *around, int64_t room) {
    int64_t before = place->image_offset - place->offset, after = place->size - before - place->image_size;
    if (place->image_size < 0 || place->image_size > place->size || before < BLOCK || after < 0 || before + after > room)
        return NULL;
    PyObject *image = PyBytes_FromStringAndSize(NULL, (ptrdiff_t)place->image_size);
    if (!image) return NULL;
    struct iovec parts_of_file[] = {{around, (size_t)before},
                                    {PyBytes_AsString(image), (size_t)place->image_size},
                                    {around + before, (size_t)after}};
    void *thread = PyEval_SaveThread();
    int failed = read_parts(file, parts_of_file, 3, place->offset);
    PyEval_RestoreThread(thread);
    PyObject *parts = PyDict_New(), *images = PyList_New(0), *caption = NULL, *all = NULL;
    if (!failed && parts && images) caption = members(place, around, id, id_size, image, parts, images);
    if (caption) {
        PyObject *tuple = PyList_AsTuple(images);
        all = tuple ? PyTuple_New(3) : NULL;
        if (all) {
            PyTuple_SetItem(all, 0, tuple);
            PyTuple_SetItem(all, 1, caption);
            PyTuple_SetItem(all, 2, parts);
            parts = NULL;
        } else {
            Py_DecRef(caption);
            if (tuple) Py_DecRef(tuple);
        }
    }
    Py_DecRef(image);
    if (parts) Py_DecRef(parts);
    if (images) Py_DecRef(images);
    return all;
}

/* A list: for each of `count` samples, whose id is `id_size` bytes of `ids`, (images, caption, parts) as the tar `file` has
 * them at its place; None where Python is to look. `around` is room for what is no image. */
EXPORT PyObject *sluice_tar_samples(int file, int64_t count, const Place *places, const char *ids, int64_t id_size,
                                    uint8_t *around, int64_t room) {
    PyObject *list = PyList_New((ptrdiff_t)count);
    for (int64_t at = 0; list && at < count; at++) {
        PyObject *one = sample(file, places + at, ids + at * id_size, (size_t)id_size, around, room);
        if (!one) {
            PyErr_Clear();
            one = &_Py_NoneStruct;
            Py_IncRef(one);
        }
        PyList_SetItem(list, (ptrdiff_t)at, one);
    }
    return list;
}
