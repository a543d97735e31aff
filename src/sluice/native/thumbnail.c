#include "wide.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* A gray thumbnail by filters whose weights are whole numbers of 2**-15, first along the rows, then down the columns.

   Weights and levels lie in rows of a multiple of BLOCK numbers, zeros at their end, and a filter's `from` and `to`
   are multiples of it, so that no loop has a rest. Four rows are taken at a time: their sums are then four numbers
   beside each other, and a weight is loaded once for them. What comes out lies transposed, as the second pass needs it. */
enum { BLOCK = 16, ROWS = 4, ONE = 15 };

typedef struct {
    const int16_t *weights;
    const int32_t *from, *to;
    size_t count, padded; /* filters, numbers in each */
} filters;

static size_t padded_to(size_t size, size_t block) { return (size + block - 1) / block * block; }

BODY void weighted_by_all(const int16_t *rows, size_t padded, const int16_t *weights, size_t from, size_t to,
                          int32_t *sums) {
    int32_t lanes[ROWS][BLOCK] = {{0}};
    for (size_t x = from; x < to; x += BLOCK)
        for (size_t r = 0; r < ROWS; r++)
            for (size_t i = 0; i < BLOCK; i++) lanes[r][i] += (int32_t)rows[r * padded + x + i] * weights[x + i];
    for (size_t r = 0; r < ROWS; r++) {
        sums[r] = 0;
        for (size_t i = 0; i < BLOCK; i++) sums[r] += lanes[r][i];
    }
}

/* Rounded and clipped as Pillow does after each of its two passes. */
BODY int32_t level(int32_t sum) {
    sum = (sum + (1 << (ONE - 1))) >> ONE;
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

#define FILTER(target, name, weighted)                                                                                 \
    target static void name(const int16_t *rows, filters by, int16_t *levels, size_t apart) {                          \
        for (size_t f = 0; f < by.count; f++, levels += apart) {                                                       \
            int32_t sums[ROWS];                                                                                        \
            weighted(rows, by.padded, by.weights + f * by.padded, (size_t)by.from[f], (size_t)by.to[f], sums);         \
            for (size_t r = 0; r < ROWS; r++) levels[r] = (int16_t)level(sums[r]);                                     \
        }                                                                                                              \
    }

FILTER(, filter_all, weighted_by_all)

#if defined(__x86_64__)
AVX2 static inline void weighted_by_avx2(const int16_t *rows, size_t padded, const int16_t *weights, size_t from,
                                         size_t to, int32_t *sums) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t x = from; x < to; x += BLOCK) {
        const __m256i w = _mm256_loadu_si256((const __m256i *)(weights + x));
        const int16_t *at = rows + x;
        a = _mm256_add_epi32(a, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)at)));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(at + padded))));
        c = _mm256_add_epi32(c, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(at + 2 * padded))));
        d = _mm256_add_epi32(d, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(at + 3 * padded))));
    }
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    const __m128i added = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm_storeu_si128((__m128i *)sums, added);
}

FILTER(AVX2, filter_avx2, weighted_by_avx2)

static void filter(const int16_t *rows, filters by, int16_t *levels, size_t apart) {
    (wide() ? filter_avx2 : filter_all)(rows, by, levels, apart);
}
#else
#define filter filter_all
#endif

/* 1 where there is no memory for it. */
EXPORT int sluice_thumbnail(const uint8_t *gray, size_t width, size_t height, const int16_t *across,
                            const int32_t *across_from, const int32_t *across_to, size_t wide_by, const int16_t *down,
                            const int32_t *down_from, const int32_t *down_to, size_t high, float *small) {
    const filters along = {across, across_from, across_to, wide_by, padded_to(width, BLOCK)};
    const filters below = {down, down_from, down_to, high, padded_to(height, BLOCK)};
    const size_t columns = padded_to(wide_by, ROWS);
    int16_t *rows = calloc(ROWS * along.padded + columns * below.padded + high * columns, sizeof *rows);
    if (!rows) return 1;
    int16_t *narrow = rows + ROWS * along.padded, *levels = narrow + columns * below.padded;
    for (size_t y = 0; y < height; y += ROWS) {
        for (size_t r = 0; r < ROWS && y + r < height; r++)
            for (size_t x = 0; x < width; x++) rows[r * along.padded + x] = gray[(y + r) * width + x];
        filter(rows, along, narrow + y, below.padded);
    }
    for (size_t x = 0; x < columns; x += ROWS) filter(narrow + x * below.padded, below, levels + x, columns);
    for (size_t y = 0; y < high; y++)
        for (size_t x = 0; x < wide_by; x++) small[y * wide_by + x] = levels[y * columns + x];
    free(rows);
    return 0;
}
