/* A binary TreeLSTM of 256 units in C with AVX-512, for bench_tree_lstm.py: what somebody writes by hand for this one model.

   Each thread owns blocks of 16 hidden units, whose packed weights stay in its cache; a register tile has up to 5 nodes of the 5 gates;
   one parallel region, one barrier a level. Nodes are numbered leaves first, then level by level; index arrays come ready-made, and
   the states of leaves from a table by their word. With REST=1, nodes that fill no tile are taken one by one. */
#include <immintrin.h>
#include <omp.h>
#include <stdatomic.h>

enum { UNITS = 256, LANES = 16, BLOCKS = UNITS / LANES, GATES = 5, STEP = GATES * LANES };

static inline __m512 exponential(__m512 x) {
    const float terms[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f};
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(88.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    for (int i = 0; i < 5; i++) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(terms[i]));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

static inline __m512 sigmoid(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

static inline __m512 hyperbolic(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f), e = exponential(_mm512_add_ps(x, x));
    return _mm512_div_ps(_mm512_sub_ps(e, one), _mm512_add_ps(e, one));
}

/* The nodes n .. n+rows-1, units `unit` .. unit+15; weights [2 children][256][5 gates][16], bias [5][16]; gates i, left f, right f, o, u. */
static inline __attribute__((always_inline)) void tile(const int rows, const float *w, const float *bias, float *h, float *c,
                                                       const int *left, const int *right, long n, int unit) {
    __m512 sums[5][GATES];
    const float *of[5];
    for (int q = 0; q < rows; q++)
        for (int g = 0; g < GATES; g++) sums[q][g] = _mm512_load_ps(bias + g * LANES);
    for (int child = 0; child < 2; child++) {
        for (int q = 0; q < rows; q++) of[q] = h + (long)(child ? right : left)[n + q] * UNITS;
        for (int k = 0; k < UNITS; k++, w += STEP) {
            __m512 gate[GATES];
#pragma GCC unroll 5
            for (int g = 0; g < GATES; g++) gate[g] = _mm512_load_ps(w + g * LANES);
#pragma GCC unroll 5
            for (int q = 0; q < rows; q++) {
                const __m512 x = _mm512_set1_ps(of[q][k]);
#pragma GCC unroll 5
                for (int g = 0; g < GATES; g++) sums[q][g] = _mm512_fmadd_ps(x, gate[g], sums[q][g]);
            }
        }
    }
    for (int q = 0; q < rows; q++) {
        const __m512 lc = _mm512_load_ps(c + (long)left[n + q] * UNITS + unit), rc = _mm512_load_ps(c + (long)right[n + q] * UNITS + unit);
        __m512 cell = _mm512_fmadd_ps(sigmoid(sums[q][1]), lc, _mm512_mul_ps(sigmoid(sums[q][2]), rc));
        cell = _mm512_fmadd_ps(sigmoid(sums[q][0]), hyperbolic(sums[q][4]), cell);
        _mm512_store_ps(c + (n + q) * UNITS + unit, cell);
        _mm512_store_ps(h + (n + q) * UNITS + unit, _mm512_mul_ps(sigmoid(sums[q][3]), hyperbolic(cell)));
    }
}

static void any_tile(long rows, const float *w, const float *b, float *h, float *c, const int *l, const int *r, long n, int unit) {
    switch (rows) {
        case 1: tile(1, w, b, h, c, l, r, n, unit); break;
        case 2: tile(2, w, b, h, c, l, r, n, unit); break;
        case 3: tile(3, w, b, h, c, l, r, n, unit); break;
        case 4: tile(4, w, b, h, c, l, r, n, unit); break;
        default: tile(5, w, b, h, c, l, r, n, unit);
    }
}

static _Alignas(128) atomic_long arrived, phase;

static void barrier(long number, int threads) {
    if (atomic_fetch_add(&arrived, 1) == threads * number - 1) atomic_store(&phase, number);
    while (atomic_load_explicit(&phase, memory_order_acquire) < number) _mm_pause();
}

void tree_lstm(const float *weights, const float *bias, const float *leaf_h, const float *leaf_c, const int *words, long leaves,
               const int *left, const int *right, const long *levels, long count, float *h, float *c, int threads) {
    atomic_store(&arrived, 0);
    atomic_store(&phase, 0);
#pragma omp parallel num_threads(threads)
    {
        const int me = omp_get_thread_num(), first = me * BLOCKS / threads, last = (me + 1) * BLOCKS / threads;
        for (int j = first; j < last; j++)
            for (long n = 0; n < leaves; n++) {
                const long to = n * UNITS + j * LANES, from = (long)words[n] * UNITS + j * LANES;
                _mm512_store_ps(h + to, _mm512_load_ps(leaf_h + from));
                _mm512_store_ps(c + to, _mm512_load_ps(leaf_c + from));
            }
        for (long v = 0; v < count; v++) {
            barrier(v + 1, threads);
            const long start = levels[v], stop = levels[v + 1], nodes = stop - start, tiles = (nodes + 4) / 5;
            for (int j = first; j < last; j++) {
                const float *w = weights + (long)j * 2 * UNITS * STEP, *b = bias + j * STEP;
#ifdef REST
                long n = start;
                for (; n + 5 <= stop; n += 5) tile(5, w, b, h, c, left, right, n, j * LANES);
                for (; n < stop; n++) tile(1, w, b, h, c, left, right, n, j * LANES);
                (void)tiles, (void)nodes;
#else
                for (long q = 0; q < tiles; q++) {
                    const long from = start + nodes * q / tiles, to = start + nodes * (q + 1) / tiles;
                    any_tile(to - from, w, b, h, c, left, right, from, j * LANES);
                }
#endif
            }
        }
    }
}
