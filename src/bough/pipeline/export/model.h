/* @name@: a model compiled by Bough. Plain C99; link with lib@name@.so, which needs libc and libm only.
 *
@signature@
 *
 * Arrays are dense and row-major, in the machine's byte order; `bool` is one byte, 0 or 1; `bf16` and `f16` are two bytes. `data`
 * must be aligned to the element. What the numbers mean (pixels, tokens, logits) is as in the module that was compiled: they are
 * neither scaled nor reordered. Results must not overlap arguments or each other.
 *
 * A model may be used by any number of threads at once: a call has its memory to itself, and one call at a time has the model's
 * threads; others compute on their own. Results do not depend on that. After a fork, open the model anew in the child.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @NAME@_ARGUMENTS @arguments@
#define @NAME@_RESULTS @results@
#define @NAME@_MAX_RANK @rank@

enum @name@_status {
    @NAME@_OK = 0,
    @NAME@_BAD_CALL = 1,      /* a null pointer where something must be, or data that is not aligned */
    @NAME@_BAD_SHAPE = 2,     /* a rank or a size other than what the model was compiled for */
    @NAME@_NO_MEMORY = 3,
    @NAME@_BAD_WEIGHTS = 4,   /* the file of weights cannot be read, or is not the one that was written */
    @NAME@_BAD_PROCESSOR = 5, /* the processor lacks instructions that the code uses */
    @NAME@_FAILED = 6,        /* the model itself reports a failure */
    @NAME@_SMALL = 7          /* sizes that the model computes are above the capacity */
};

typedef struct {
    void *data;
    int rank;
    int64_t shape[@NAME@_MAX_RANK];
} @name@_array;

typedef struct @name@_model @name@_model;

/* Reads and checks the weights: size and SHA-256 (about 4 ms for each MB). `weights` is the path of @name@.safetensors; null for
 * weights that are in the library (@embedded@). `threads` includes the caller's; 0 takes all processors that
 * the process may use. Sets *model, to null on failure. */
int @name@_open(@name@_model **model, const char *weights, int threads);

/* Sets rank and shape of each result for arguments of these ranks and shapes; no data is looked at. */
int @name@_shapes(const @name@_array *arguments, @name@_array *results);

/* Computes the results into `results[i].data`. Ranks and shapes must be those that @name@_shapes gives. */
int @name@_run(@name@_model *model, const @name@_array *arguments, const @name@_array *results);

@capacity@/* Ends the model's threads and frees it. No call may be running. Null is allowed. */
void @name@_close(@name@_model *model);

/* What went wrong in the last call of this thread that did not return @NAME@_OK. */
const char *@name@_error(void);

/* The code that this processor gets, for instance "x86-64-v3"; null where none fits. */
const char *@name@_target(void);

#ifdef __cplusplus
}
#endif
#endif
