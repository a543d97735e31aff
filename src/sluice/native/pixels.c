#include "wide.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSSE3__
#include <tmmintrin.h>
#endif

/* Gray from colour, and smaller gray from gray: the same integers as Pillow's, which is in use without this. */

/* ITU-R 601 luma as Pillow's mode L. Twice half the weight of green: products of signed 16 bits are the quick ones. */
BODY uint8_t luma(uint32_t red, uint32_t green, uint32_t blue) {
    return (uint8_t)((red * 19595 + 2 * (green * 19235) + blue * 7471 + 0x8000) >> 16);
}

BODY void sluice_gray_body(const uint8_t *pixels, size_t count, size_t channels, uint8_t *gray) {
    if (channels == 4)
        for (size_t i = 0; i < count; i++) {
            uint32_t one; /* read whole: compilers make wide loads of that, not of its bytes */
            memcpy(&one, pixels + 4 * i, sizeof one);
            gray[i] = luma(one & 255, one >> 8 & 255, one >> 16 & 255);
        }
    else
        for (size_t i = 0; i < count; i++) gray[i] = luma(pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]);
}

WIDE(EXPORT, void, sluice_gray, (const uint8_t *pixels, size_t count, size_t channels, uint8_t *gray),
     (pixels, count, channels, gray))

/* A gray image made smaller, to more than half: each pixel the average of one or two, first of columns, then of rows;
   in each of the two steps what lies between two levels is rounded up, as Pillow does. */
typedef struct {
    int32_t *first, *last; /* of the pixels that each is the average of */
    size_t count;
} windows;

/* Chosen as Pillow chooses them, in the same order of the same operations. 0 where one would not be of one or two. */
static int choose(windows into, size_t size) {
    const double scale = (double)size / (double)into.count, inverse = 1.0 / scale;
    for (size_t i = 0; i < into.count; i++) {
        const double centre = ((double)i + 0.5) * scale;
        const double from = centre - 0.5 * scale + 0.5, to = centre + 0.5 * scale + 0.5;
        int32_t first = from < 0 ? 0 : (int32_t)from, end = (int32_t)to;
        if (end > (int32_t)size) end = (int32_t)size;
        while (first < end && ((double)first - centre + 0.5) * inverse <= -0.5) first++;
        while (first < end && ((double)(end - 1) - centre + 0.5) * inverse > 0.5) end--;
        if (end - first < 1 || end - first > 2) return 0;
        into.first[i] = first, into.last[i] = end - 1;
    }
    return 1;
}

BODY uint8_t average(uint8_t one, uint8_t other) { return (uint8_t)((one + other + 1) >> 1); }

static void box_columns(const uint8_t *gray, size_t width, windows across, windows down, size_t from, uint8_t *small) {
    for (size_t y = 0; y < down.count; y++, small += across.count) {
        const uint8_t *upper = gray + width * (size_t)down.first[y], *lower = gray + width * (size_t)down.last[y];
        for (size_t x = from; x < across.count; x++) {
            const int32_t left = across.first[x], right = across.last[x];
            small[x] = average(average(upper[left], upper[right]), average(lower[left], lower[right]));
        }
    }
}

#ifdef __SSSE3__
enum { LANES = 16 };

/* From 32 bytes of a row the 16 pixels that windows begin with, averaged with those they end with. */
typedef struct {
    __m128i first[2], last[2];
} picks;

BODY __m128i pick(const __m128i *bytes, const __m128i *places) {
    return _mm_or_si128(_mm_shuffle_epi8(bytes[0], places[0]), _mm_shuffle_epi8(bytes[1], places[1]));
}

BODY __m128i averages(const uint8_t *row, picks of) {
    const __m128i bytes[2] = {_mm_loadu_si128((const __m128i *)row), _mm_loadu_si128((const __m128i *)row + 1)};
    return _mm_avg_epu8(pick(bytes, of.first), pick(bytes, of.last));
}

static picks picks_of(windows across, size_t from, int32_t base) {
    int8_t places[4][LANES]; /* a negative place gives 0 */
    for (size_t i = 0; i < LANES; i++) {
        const int32_t first = across.first[from + i] - base, last = across.last[from + i] - base;
        places[0][i] = (int8_t)(first < LANES ? first : -1), places[1][i] = (int8_t)(first - LANES);
        places[2][i] = (int8_t)(last < LANES ? last : -1), places[3][i] = (int8_t)(last - LANES);
    }
    picks of;
    memcpy(&of, places, sizeof of);
    return of;
}
#endif

static void box(const uint8_t *gray, size_t width, windows across, windows down, uint8_t *small) {
    size_t from = 0;
#ifdef __SSSE3__
    const size_t wide = across.count;
    if (wide >= LANES && width >= 2 * LANES)
        while (from < wide) {
            const size_t x = from + LANES <= wide ? from : wide - LANES; /* the last ones perhaps a second time */
            const int32_t most = (int32_t)width - 2 * LANES, base = across.first[x] < most ? across.first[x] : most;
            const picks of = picks_of(across, x, base);
            for (size_t y = 0; y < down.count; y++) {
                const __m128i upper = averages(gray + width * (size_t)down.first[y] + base, of);
                const __m128i lower = averages(gray + width * (size_t)down.last[y] + base, of);
                _mm_storeu_si128((__m128i *)(small + wide * y + x), _mm_avg_epu8(upper, lower));
            }
            from = x + LANES;
        }
#endif
    box_columns(gray, width, across, down, from, small);
}

/* 1 where it is not done: for want of memory, or because a pixel would be the average of more than two. */
EXPORT int sluice_box(const uint8_t *gray, size_t width, size_t height, size_t wide, size_t high, uint8_t *small) {
    int32_t *places = malloc(2 * (wide + high) * sizeof *places);
    if (!places) return 1;
    const windows across = {places, places + wide, wide};
    const windows down = {places + 2 * wide, places + 2 * wide + high, high};
    const int can = choose(across, width) && choose(down, height);
    if (can) box(gray, width, across, down, small);
    free(places);
    return !can;
}
