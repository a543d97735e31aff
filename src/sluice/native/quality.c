#include "wide.h"

#include <string.h>

/* What `image.quality` adds up over pixels; whole numbers, so that the order of adding changes nothing. */

enum { ADDED_IN_32_BITS = 1024 }; /* squares of a Laplacian: 1,020 at most */

BODY void laplacian_row(const uint8_t *at, size_t width, size_t from, size_t to, int64_t *total, int64_t *squares) {
    const uint8_t *above = at - width, *below = at + width;
    int16_t values[ADDED_IN_32_BITS];
    int32_t sum = 0, sum_of_squares = 0;
    for (size_t x = from; x < to; x++)
        values[x - from] = (int16_t)(4 * at[x] - at[x - 1] - at[x + 1] - above[x] - below[x]);
    for (size_t i = 0; i < to - from; i++) {
        sum += values[i];
        sum_of_squares += (int32_t)values[i] * values[i];
    }
    *total += sum;
    *squares += sum_of_squares;
}

BODY void laplacian_body(const uint8_t *gray, size_t width, size_t height, int64_t *total, int64_t *squares) {
    *total = *squares = 0;
    for (size_t y = 1; y + 1 < height; y++)
        for (size_t from = 1; from + 1 < width; from += ADDED_IN_32_BITS) {
            const size_t to = from + ADDED_IN_32_BITS < width - 1 ? from + ADDED_IN_32_BITS : width - 1;
            laplacian_row(gray + y * width, width, from, to, total, squares);
        }
}

WIDE(static, void, laplacian,
     (const uint8_t *gray, size_t width, size_t height, int64_t *total, int64_t *squares),
     (gray, width, height, total, squares))

/* How often each level occurs: four counts in turn, for two equal levels in a row would wait for each other. */
static void histogram(const uint8_t *gray, size_t count, int64_t *counts) {
    uint32_t each[4][256];
    while (count) {
        const size_t part = count < 1u << 30 ? count : 1u << 30;
        size_t i = 0;
        memset(each, 0, sizeof each);
        for (; i + 4 <= part; i += 4)
            for (size_t k = 0; k < 4; k++) each[k][gray[i + k]]++;
        for (; i < part; i++) each[0][gray[i]]++;
        for (size_t level = 0; level < 256; level++)
            counts[level] += (int64_t)each[0][level] + each[1][level] + each[2][level] + each[3][level];
        gray += part;
        count -= part;
    }
}

typedef struct {
    const uint8_t *first;       /* the first pixel of the first line */
    ptrdiff_t next_line, next;  /* bytes from a line to the next, from a pixel to the next */
    size_t lines, length;
} lines;

static void range_of(lines all, size_t line, int *low, int *high) {
    const uint8_t *at = all.first + all.next_line * (ptrdiff_t)line;
    *low = *high = *at;
    for (size_t i = 1; i < all.length; i++) {
        const int level = at[all.next * (ptrdiff_t)i];
        *low = level < *low ? level : *low;
        *high = level > *high ? level : *high;
    }
}

/* How many lines from the first on are of one colour: the first line's, give or take `tolerance` levels. */
static size_t uniform_lines(lines all, int tolerance) {
    int low, high;
    const uint8_t middle = all.first[all.next * (ptrdiff_t)(all.length / 2)];
    if (*all.first - middle > 2 * tolerance || middle - *all.first > 2 * tolerance) return 0; /* the common case */
    range_of(all, 0, &low, &high);
    if (high - low > 2 * tolerance) return 0;
    const int centre = (low + high) / 2;
    size_t line = 1;
    for (; line < all.lines; line++) {
        range_of(all, line, &low, &high);
        if (low < centre - tolerance || high > centre + tolerance) break;
    }
    return line;
}

/* `sums`: the Laplacian (4 neighbours, edge pixels left out), its squares, and the uniform lines at the top, the bottom
   and, between them, at the left and the right. `counts` is added to. */
EXPORT void sluice_gray_sums(const uint8_t *gray, size_t width, size_t height, size_t tolerance, int64_t *counts,
                             int64_t *sums) {
    const ptrdiff_t down = (ptrdiff_t)width;
    const int most = (int)tolerance;
    histogram(gray, width * height, counts);
    laplacian(gray, width, height, sums, sums + 1);
    const size_t top = uniform_lines((lines){gray, down, 1, height, width}, most);
    const size_t bottom = uniform_lines((lines){gray + width * (height - 1), -down, 1, height, width}, most);
    sums[2] = (int64_t)top, sums[3] = (int64_t)bottom;
    if (top + bottom >= height) return;
    const uint8_t *within = gray + width * top;
    const size_t high = height - top - bottom;
    sums[4] = (int64_t)uniform_lines((lines){within, 1, down, width, high}, most);
    sums[5] = (int64_t)uniform_lines((lines){within + width - 1, -1, down, width, high}, most);
}

#define LOW(sums) ((int64_t)((sums) & 0xFFFFFFFF))
#define HIGH(sums) ((int64_t)((sums) >> 32))

/* The sums of the products of any two of red, green, blue and 1, a 4 x 4 matrix, over pixels so many bytes apart. */
EXPORT void sluice_colour_products(const uint8_t *pixels, size_t height, size_t width, ptrdiff_t down, ptrdiff_t right,
                                   double *products) {
    enum { ADDED = 1 << 14 }; /* so many squares of bytes add up within 32 bits */
    int64_t sums[4][4] = {{0}};
    for (size_t y = 0; y < height; y++, pixels += down) {
        const uint8_t *at = pixels;
        for (size_t from = 0; from < width; from += ADDED) {
            const size_t to = from + ADDED < width ? from + ADDED : width;
            uint64_t reds_greens = 0, blues = 0, red = 0, green = 0, blue = 0; /* two sums of 32 bits in each */
            for (size_t x = from; x < to; x++, at += right) {
                const uint64_t r = at[0], g = at[1], b = at[2];
                reds_greens += r | g << 32;
                blues += b;
                red += (r | g << 32) * r;
                green += (g | b << 32) * g;
                blue += (b | r << 32) * b;
            }
            sums[0][0] += LOW(red), sums[0][1] += HIGH(red), sums[0][2] += HIGH(blue), sums[0][3] += LOW(reds_greens);
            sums[1][1] += LOW(green), sums[1][2] += HIGH(green), sums[1][3] += HIGH(reds_greens);
            sums[2][2] += LOW(blue), sums[2][3] += (int64_t)blues, sums[3][3] += (int64_t)(to - from);
        }
    }
    for (size_t i = 0; i < 4; i++)
        for (size_t k = i; k < 4; k++) products[4 * i + k] = products[4 * k + i] = (double)sums[i][k];
}
