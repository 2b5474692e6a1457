/* Runs @name@ once: reads each argument from a raw file, or takes zeros, and prints the results.
 *
 *   sample [-w WEIGHTS] [-t THREADS] [-o PREFIX] [-s SIZE=NUMBER]... [FILE or -]...
 *
 * -w none uses weights that are in the library. -o also writes each result to a raw file PREFIX0.bin, PREFIX1.bin, ... `-`, or a
 * FILE left out, is an argument of zeros. Sizes that may vary: @sizes@.
 */
#include "@name@.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *name, *type; size_t bytes; } element;

@tables@
static int64_t count(const @name@_array *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++)
        n *= x->shape[i];
    return n;
}

static int stop(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static int read_argument(@name@_array *x, size_t bytes, const char *path)
{
    size_t size = (size_t)count(x) * bytes;
    x->data = calloc(1, size + 1);
    if (!x->data)
        return stop("sample", "no memory");
    if (!strcmp(path, "-"))
        return 0;
    FILE *file = fopen(path, "rb");
    if (!file)
        return stop(path, "cannot be opened");
    size_t got = fread(x->data, 1, size + 1, file);
    fclose(file);
    return got == size ? 0 : stop(path, "has not the size of the argument");
}

static void print_one(const char *type, const void *data, int64_t i)
{
    if (!strcmp(type, "f32")) printf("%.9g\n", (double)((const float *)data)[i]);
    else if (!strcmp(type, "f64")) printf("%.17g\n", ((const double *)data)[i]);
    else if (!strcmp(type, "i64")) printf("%lld\n", (long long)((const int64_t *)data)[i]);
    else if (!strcmp(type, "i32")) printf("%d\n", (int)((const int32_t *)data)[i]);
    else if (!strcmp(type, "i16")) printf("%d\n", ((const int16_t *)data)[i]);
    else if (!strcmp(type, "i8")) printf("%d\n", ((const signed char *)data)[i]);
    else if (!strcmp(type, "u8") || !strcmp(type, "bool")) printf("%d\n", ((const unsigned char *)data)[i]);
    else printf("0x%04x\n", ((const uint16_t *)data)[i]);
}

static int print_result(int number, const @name@_array *x, const char *prefix)
{
    printf("# result %d: %s %s[", number, RESULTS[number].name, RESULTS[number].type);
    for (int i = 0; i < x->rank; i++)
        printf(i ? ", %lld" : "%lld", (long long)x->shape[i]);
    printf("]\n");
    for (int64_t i = 0; i < count(x); i++)
        print_one(RESULTS[number].type, x->data, i);
    if (!prefix)
        return 0;
    char path[4096];
    snprintf(path, sizeof path, "%s%d.bin", prefix, number);
    FILE *file = fopen(path, "wb");
    if (!file)
        return stop(path, "cannot be written");
    fwrite(x->data, RESULTS[number].bytes, (size_t)count(x), file);
    return fclose(file) ? stop(path, "cannot be written") : 0;
}

int main(int argc, char **argv)
{
    const char *weights = "@weights@", *prefix = NULL, *files[@NAME@_ARGUMENTS + 1];
    int threads = 0, given = 0;
    for (int i = 1; i < argc; i++) {
        int last = i + 1 == argc;
        if (!last && !strcmp(argv[i], "-w")) weights = argv[++i];
        else if (!last && !strcmp(argv[i], "-t")) threads = atoi(argv[++i]);
        else if (!last && !strcmp(argv[i], "-o")) prefix = argv[++i];
        else if (!last && !strcmp(argv[i], "-s")) { if (!set_size(argv[++i])) return stop(argv[i], "no size of the model"); }
        else if (given < @NAME@_ARGUMENTS) files[given++] = argv[i];
        else return stop(argv[i], "one argument too many");
    }
    while (given < @NAME@_ARGUMENTS)
        files[given++] = "-";

    @name@_array arguments[@NAME@_ARGUMENTS + 1] = {{0}}, results[@NAME@_RESULTS + 1] = {{0}};
    @name@_model *model;
    set_shapes(arguments);
    for (int i = 0; i < @NAME@_ARGUMENTS; i++)
        if (read_argument(&arguments[i], ARGUMENTS[i].bytes, files[i]))
            return 1;
    if (@name@_open(&model, strcmp(weights, "none") ? weights : NULL, threads) || @name@_shapes(arguments, results))
        return stop("@name@", @name@_error());
    for (int i = 0; i < @NAME@_RESULTS; i++)
        if (!(results[i].data = calloc(1, (size_t)count(&results[i]) * RESULTS[i].bytes + 1)))
            return stop("@name@", "no memory");
    if (@name@_run(model, arguments, results))
        return stop("@name@", @name@_error());
    int failed = 0;
    for (int i = 0; i < @NAME@_RESULTS; i++)
        failed |= print_result(i, &results[i], prefix);
    for (int i = 0; i < @NAME@_ARGUMENTS; i++)
        free(arguments[i].data);
    for (int i = 0; i < @NAME@_RESULTS; i++)
        free(results[i].data);
    @name@_close(model);
    return failed;
}
