/* Resizing 8-bit colour by a filter, to the very bits that Pillow's Image.resize gives.
 *
 * As there: coefficients in double, rounded to 22 bits; rows first, then columns, each rounded to 8 bits. What Pillow
 * does a channel at a time is done for the channels of a pixel, or 16 bytes of a row, at once.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels.h"

enum { BITS = 32 - 8 - 2, HALF = 1 << (BITS - 1), LANES = 16 };

typedef uint8_t u8x8 __attribute__((vector_size(8)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef int32_t i32x16 __attribute__((vector_size(64)));

typedef struct {
    int size, taps; /* taps: room for the coefficients of each place */
    int *first, *count;
    int32_t *weights;
} Axis;

static double bilinear(double x) { return (x = fabs(x)) < 1.0 ? 1.0 - x : 0.0; }

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double (*const FILTERS[])(double) = {bilinear, bicubic, box};
static const double SUPPORTS[] = {1.0, 2.0, 0.5};

static void axis_free(Axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weights);
}

/* What each of `size` places takes of the `length` given ones, of which [low, high) is shown. */
static int axis_of(Axis *axis, int length, float low, float high, int size, int filter) {
    double scale = (double)(high - low) / size, stretch = scale < 1.0 ? 1.0 : scale;
    double support = SUPPORTS[filter] * stretch, inverse = 1.0 / stretch;
    axis->size = size;
    axis->taps = (int)ceil(support) * 2 + 1;
    axis->first = malloc(sizeof(int) * (size_t)size);
    axis->count = malloc(sizeof(int) * (size_t)size);
    axis->weights = malloc(sizeof(int32_t) * (size_t)size * (size_t)axis->taps);
    double *exact = malloc(sizeof(double) * (size_t)axis->taps);
    if (!axis->first || !axis->count || !axis->weights || !exact) {
        free(exact);
        return -1;
    }
    for (int place = 0; place < size; place++) {
        double center = low + (place + 0.5) * scale, sum = 0.0;
        int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > length ? length : end;
        int count = end - first;
        for (int tap = 0; tap < count; tap++) {
            exact[tap] = FILTERS[filter]((tap + first - center + 0.5) * inverse);
            sum += exact[tap];
        }
        int32_t *weights = axis->weights + (size_t)place * (size_t)axis->taps;
        for (int tap = 0; tap < count; tap++) {
            double weight = sum != 0.0 ? exact[tap] / sum : exact[tap];
            weights[tap] = (int)((weight < 0 ? -0.5 : 0.5) + weight * (1 << BITS));
        }
        axis->first[place] = first;
        axis->count[place] = count;
    }
    free(exact);
    return 0;
}

/* Two rows at a time, their pixels `channels` bytes apart, to pixels of four bytes: the two halves of a register. A byte
 * after the last of each row may be read. */
static inline __attribute__((always_inline)) void across(const uint8_t *const rows[2], uint8_t *const to[2], const Axis *axis, int channels) {
    for (int place = 0; place < axis->size; place++) {
        ptrdiff_t at = (ptrdiff_t)axis->first[place] * channels;
        const int32_t *weights = axis->weights + (size_t)place * (size_t)axis->taps;
        i32x8 sum = {0};
        sum += HALF;
        for (int tap = 0, count = axis->count[place]; tap < count; tap++, at += channels) {
            uint32_t both[2];
            memcpy(both, rows[0] + at, 4);
            memcpy(both + 1, rows[1] + at, 4);
            u8x8 pixels;
            memcpy(&pixels, both, 8);
            sum += __builtin_convertvector(pixels, i32x8) * weights[tap];
        }
        sum >>= BITS;
        sum &= ~(sum < 0);
        i32x8 over = sum > 255;
        u8x8 pixels = __builtin_convertvector((sum & ~over) | (over & 255), u8x8);
        uint8_t bytes[8];
        memcpy(bytes, &pixels, 8);
        memcpy(to[0] + 4 * place, bytes, 4);
        memcpy(to[1] + 4 * place, bytes + 4, 4);
    }
}

/* One row of the result from the rows of `from`, `width` pixels of four bytes each, as many as fill whole lanes. */
static inline __attribute__((always_inline)) void down(const uint8_t *from, size_t stride, uint8_t *to, const int32_t *weights, int count) {
    for (size_t at = 0; at < stride; at += LANES) {
        i32x16 sum = {0};
        sum += HALF;
        for (int tap = 0; tap < count; tap++) {
            u8x16 levels;
            memcpy(&levels, from + (size_t)tap * stride + at, LANES);
            sum += __builtin_convertvector(levels, i32x16) * weights[tap];
        }
        sum >>= BITS;
        sum &= ~(sum < 0);
        i32x16 over = sum > 255;
        sum = (sum & ~over) | (over & 255);
        u8x16 levels = __builtin_convertvector(sum, u8x16);
        memcpy(to + at, &levels, LANES);
    }
}

typedef struct {
    const uint8_t *from;
    int width, height, channels;
    uint8_t *to;
    Axis columns, rows;
    uint8_t *between, *padded, *line;
    size_t stride;
    int top, bottom;
} Job;

static inline __attribute__((always_inline)) void resize(const Job *job) {
    size_t length = (size_t)job->width * (size_t)job->channels;
    for (int row = job->top; row < job->bottom; row += 2) {
        const uint8_t *from[2] = {job->from + (size_t)row * length, job->from + (size_t)(row + 1) * length};
        uint8_t *to[2] = {job->between + (size_t)(row - job->top) * job->stride, NULL};
        to[1] = to[0] + job->stride; /* there is room for one more than are wanted */
        for (int half = 0; half < 2; half++) {
            if (row + half < job->height - 1) continue;
            memcpy(job->padded, job->from + (size_t)(job->height - 1) * length, length); /* nothing may be read after it */
            from[half] = job->padded;
        }
        across(from, to, &job->columns, job->channels == 3 ? 3 : 4);
    }
    int width = job->columns.size;
    for (int row = 0; row < job->rows.size; row++) {
        const uint8_t *from = job->between + (size_t)(job->rows.first[row] - job->top) * job->stride;
        down(from, job->stride, job->line, job->rows.weights + (size_t)row * (size_t)job->rows.taps, job->rows.count[row]);
        uint8_t *to = job->to + (size_t)row * (size_t)width * 3;
        for (int place = 0; place < width; place++) {
            to[3 * place] = job->line[4 * place];
            to[3 * place + 1] = job->line[4 * place + 1];
            to[3 * place + 2] = job->line[4 * place + 2];
        }
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void resize_avx2(const Job *job) { resize(job); }
#endif

/* `from`: height x width pixels of 3 or 4 channels; `to`: rows x columns of 3. `shown`: left, top, right, bottom.
 * 0, or -1 where there is no memory. */
EXPORT int sluice_resize(const uint8_t *from, int width, int height, int channels, const float *shown, uint8_t *to,
                         int columns, int rows, int filter) {
    Job job = {.from = from, .width = width, .height = height, .channels = channels, .to = to};
    int failed = axis_of(&job.columns, width, shown[0], shown[2], columns, filter) |
                 axis_of(&job.rows, height, shown[1], shown[3], rows, filter);
    if (!failed) {
        job.top = job.rows.first[0];
        job.bottom = job.rows.first[rows - 1] + job.rows.count[rows - 1];
        job.stride = ((size_t)columns * 4 + LANES - 1) / LANES * LANES;
        job.between = malloc(job.stride * (size_t)(job.bottom - job.top + 1));
        job.padded = malloc((size_t)width * (size_t)channels + 4);
        job.line = malloc(job.stride);
        failed = !job.between || !job.padded || !job.line ? -1 : 0;
    }
    if (!failed) {
#if defined(__x86_64__)
        if (has_avx2())
            resize_avx2(&job);
        else
#endif
            resize(&job);
    }
    free(job.between);
    free(job.padded);
    free(job.line);
    axis_free(&job.columns);
    axis_free(&job.rows);
    return failed ? -1 : 0;
}
