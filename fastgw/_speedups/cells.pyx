# cython: autotestdict=False
"""64-bit integer cells in memory that the processes of one gateway share.

`Cells` maps an anonymous file (`os.memfd_create`, inherited by the workers) or private memory. `Cell` and `Buckets`
are the hot path of metrics: one cell, or the cells of one histogram, bound once and then written with one call.

All operations are lock-free and, but for the search of a bucket, O(1). Values are signed 64-bit integers: a Python
integer outside of that raises OverflowError, a sum outside of it wraps. An index outside of the cells raises
IndexError, negative ones included. After `close` everything raises ValueError. `close` itself may not run
while another thread uses the same object; other processes and other mappings are not affected.
"""

cimport cython

from cpython.exc cimport PyErr_SetFromErrno
from libc.math cimport INFINITY, ceil, log
from libc.stdint cimport INT64_MAX, int64_t
from libc.stdlib cimport free, malloc
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.stat cimport fstat, struct_stat


cdef extern from "cells.h" nogil:
    const int64_t WINDOW_ID_MAX
    int64_t cell_load(const int64_t *cell)
    void cell_store(int64_t *cell, int64_t value)
    int64_t cell_add(int64_t *cell, int64_t n)
    int64_t cell_swap(int64_t *cell, int64_t value)
    bint cell_cas(int64_t *cell, int64_t old, int64_t value)
    void cell_bump(int64_t *cell, int64_t n)
    void cell_raise(int64_t *cell, int64_t value)
    bint cell_take_slot(int64_t *cell, int64_t limit)
    void cell_free_slot(int64_t *cell)
    int64_t cell_take_window(int64_t *cells, int64_t window_id, int64_t limit, int64_t cost)


cdef enum:
    # An edge list longer than this is a mistake of the caller, and the search for a bucket is linear.
    MAX_EDGES = 256
    # Steps of a summary: durations up to 0.5 ms, then each a fifth longer than the one before, the last without end.
    STEPS = 80
    WINDOW_SECONDS = 30

SUMMARY_STEPS = STEPS
SUMMARY_CELLS = STEPS + 3
SUMMARY_LOW = 0.0005
SUMMARY_RATIO = 1.2
SUMMARY_WINDOW = WINDOW_SECONDS

cdef double _LOW = SUMMARY_LOW
cdef double _PER_STEP = 1.0 / log(SUMMARY_RATIO)
cdef int64_t _EVEN = 0xFFFFFFFF


cdef int refuse(Cells cells, Py_ssize_t i) except -1:
    if cells.base == NULL:
        raise ValueError("the cells are closed")
    raise IndexError(f"cell {i} is outside of 0..{cells.count - 1}")


@cython.final
cdef class Cells:
    """`count` cells of the file `fd`, or of zeroed private memory when `fd` is -1.

    The file must already be `8 * count` bytes long and must not shrink afterwards (seal it); the descriptor may be
    closed once the object exists. Raises ValueError for a count below 1 or a file that is too short, OSError when
    the system refuses.
    """

    cdef int64_t *base
    cdef readonly Py_ssize_t count

    def __cinit__(self, int fd, Py_ssize_t count):
        cdef struct_stat status
        cdef void *base
        self.base = NULL
        self.count = 0
        if count < 1 or count > INT64_MAX // 8:
            raise ValueError(f"a number of cells must be positive, got {count}")
        if fd < -1:
            raise ValueError(f"not a file descriptor: {fd}")
        if fd == -1:
            base = mmap(NULL, <size_t>count * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        else:
            if fstat(fd, &status) != 0:
                PyErr_SetFromErrno(OSError)
            if status.st_size < count * 8:
                raise ValueError(f"the file has {status.st_size} bytes, {count} cells need {count * 8}")
            base = mmap(NULL, <size_t>count * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if base == MAP_FAILED:
            PyErr_SetFromErrno(OSError)
        self.base = <int64_t *>base
        self.count = count

    def __dealloc__(self):
        self.unmap()

    cdef void unmap(self) noexcept:
        if self.base != NULL:
            munmap(self.base, <size_t>self.count * 8)
            self.base = NULL
            # Bounds checks refuse every index from now on, so no operation needs a second check.
            self.count = 0

    def close(self):
        """Unmap. Closing twice is allowed."""
        self.unmap()

    def __len__(self):
        return self.count

    def get(self, Py_ssize_t i):
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        return cell_load(self.base + i)

    def read(self, Py_ssize_t i, Py_ssize_t n):
        """The values of the `n` cells from `i` on, one by one: not a picture of one moment."""
        cdef Py_ssize_t k
        if n < 1:
            return []
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        if n > self.count - i:
            refuse(self, i + n - 1)
        return [cell_load(self.base + k) for k in range(i, i + n)]

    def set(self, Py_ssize_t i, int64_t v):
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        cell_store(self.base + i, v)

    def add(self, Py_ssize_t i, int64_t n):
        """Add and return the new value. Any number of writers."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        return cell_add(self.base + i, n)

    def swap(self, Py_ssize_t i, int64_t v):
        """Set and return the old value."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        return cell_swap(self.base + i, v)

    def cas(self, Py_ssize_t i, int64_t old, int64_t new):
        """Set to `new` if the value is `old`; tell whether it was."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        return cell_cas(self.base + i, old, new)

    def raise_to(self, Py_ssize_t i, int64_t v):
        """Set to `v` unless the value is already greater."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        cell_raise(self.base + i, v)

    def bump(self, Py_ssize_t i, int64_t n):
        """Add to a cell that nobody else writes: with a second writer, additions would get lost."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        cell_bump(self.base + i, n)

    def take_slot(self, Py_ssize_t i, int64_t limit):
        """Take one of `limit` slots; False when none is free."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        return cell_take_slot(self.base + i, limit)

    def free_slot(self, Py_ssize_t i):
        """Give one slot back; the count never falls below 0."""
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        cell_free_slot(self.base + i)

    def take_window(self, Py_ssize_t i, int64_t window_id, int64_t limit, int64_t cost):
        """Charge `cost` to the fixed window in cells `i` and `i + 1`; return the amount used then, or -1.

        Admitted when used + cost <= limit. So a cost of 0 asks whether the limit is already exceeded, and a limit of
        2**63 - 1 charges whatever was used. A newer `window_id` starts at 0; an older one (a late clock) is charged to
        the newest window. A negative cost gives back, down to 0, and does nothing once its window is over.

        `window_id` is 0..2**47 - 1 (ValueError). At most 2**48 - 1 can be used in one window: what would exceed
        that is refused under any limit. The contents of the two cells are private to this method.
        """
        if <size_t>i >= <size_t>self.count:
            refuse(self, i)
        if i + 1 >= self.count:
            refuse(self, i + 1)
        if window_id < 0 or window_id > WINDOW_ID_MAX:
            raise ValueError(f"a window id is 0..{WINDOW_ID_MAX}, got {window_id}")
        return cell_take_window(self.base + i, window_id, limit, cost)


@cython.final
cdef class Cell:
    """Cell `index` of `cells`, for one writer: a counter or a gauge."""

    cdef Cells cells
    cdef readonly Py_ssize_t index

    def __cinit__(self, Cells cells not None, Py_ssize_t index):
        if <size_t>index >= <size_t>cells.count:
            refuse(cells, index)
        self.cells = cells
        self.index = index

    def inc(self, int64_t n=1):
        if self.cells.base == NULL:
            refuse(self.cells, self.index)
        cell_bump(self.cells.base + self.index, n)

    def set(self, int64_t v):
        if self.cells.base == NULL:
            refuse(self.cells, self.index)
        cell_store(self.cells.base + self.index, v)

    def get(self):
        if self.cells.base == NULL:
            refuse(self.cells, self.index)
        return cell_load(self.cells.base + self.index)


@cython.final
cdef class Buckets:
    """A histogram, for one writer, in the `len(edges) + 2` cells of `cells` from `index` on.

    Cells: one per edge (observations <= edge and > the edge before), one for what is above all edges, and the
    sum of the observations in millionths, each rounded. The number of observations is the sum of the buckets.
    `edges` are finite, strictly ascending upper limits, at most 256 (ValueError).
    """

    cdef Cells cells
    cdef double *edges
    cdef Py_ssize_t size
    cdef readonly Py_ssize_t index

    def __cinit__(self, Cells cells not None, Py_ssize_t index, edges):
        cdef list limits = [float(edge) for edge in edges]
        cdef Py_ssize_t n = len(limits)
        cdef Py_ssize_t k
        self.edges = NULL
        if n > MAX_EDGES:
            raise ValueError(f"at most {MAX_EDGES} bucket edges, got {n}")
        for k in range(n):
            if not (-INFINITY < <double>limits[k] < INFINITY) or (k and <double>limits[k] <= <double>limits[k - 1]):
                raise ValueError("bucket edges must be finite and strictly ascending")
        if <size_t>index >= <size_t>cells.count:
            refuse(cells, index)
        if n + 2 > cells.count - index:
            refuse(cells, index + n + 1)
        self.edges = <double *>malloc((n + 1) * sizeof(double))
        if self.edges == NULL:
            raise MemoryError()
        for k in range(n):
            self.edges[k] = <double>limits[k]
        self.cells = cells
        self.index = index
        self.size = n

    def __dealloc__(self):
        free(self.edges)

    def observe(self, double seconds):
        """Count one observation. A negative one, or NaN, counts as 0; more than 10**12 counts as that."""
        self.put(seconds)

    cdef int put(self, double seconds) except -1:
        cdef Py_ssize_t k = 0
        if self.cells.base == NULL:
            refuse(self.cells, self.index)
        if not seconds > 0.0:
            seconds = 0.0
        elif seconds > 1e12:
            seconds = 1e12
        while k < self.size and seconds > self.edges[k]:
            k += 1
        cdef int64_t *first = self.cells.base + self.index
        cell_bump(first + k, 1)
        cell_bump(first + self.size + 1, <int64_t>(seconds * 1e6 + 0.5))
        return 0


@cython.final
cdef class Summary:
    """Durations of one series, for one writer: their number and sum since ever, and how they were spread lately.

    In the SUMMARY_CELLS cells of `cells` from `index` on: the sum in millionths; the number; the window of the newest
    duration; then one cell per step. A window is WINDOW_SECONDS of the clock that `now` is read from. The lower half
    of a step's cell counts the durations of an even window, the upper half those of an odd one, so that the spread
    covers the newest window and the one before. Half a cell holds 2**32 - 1, which no process can count in a window.
    """

    cdef Cells cells
    cdef readonly Py_ssize_t index

    def __cinit__(self, Cells cells not None, Py_ssize_t index):
        if <size_t>index >= <size_t>cells.count:
            refuse(cells, index)
        if STEPS + 3 > cells.count - index:
            refuse(cells, index + STEPS + 2)
        self.cells = cells
        self.index = index

    def observe(self, double seconds, double now):
        """Count one duration at `now`. A negative one, or NaN, counts as 0; more than 10**12 counts as that."""
        self.put(seconds, now)

    cdef int put(self, double seconds, double now) except -1:
        if self.cells.base == NULL:
            refuse(self.cells, self.index)
        summarize(self.cells.base + self.index, seconds, now)
        return 0


cdef void summarize(int64_t *first, double seconds, double now) noexcept:
    cdef int64_t window = <int64_t>(now / WINDOW_SECONDS)
    cdef int64_t newest = cell_load(first + 2)
    cdef int64_t kept
    cdef int k
    if not seconds > 0.0:
        seconds = 0.0
    elif seconds > 1e12:
        seconds = 1e12
    if window != newest:
        # Cleared before the window is announced: a reader that comes in between does not look at this half yet.
        kept = 0 if window != newest + 1 else _EVEN if window & 1 else ~_EVEN
        for k in range(STEPS):
            cell_store(first + 3 + k, cell_load(first + 3 + k) & kept)
        cell_store(first + 2, window)
    k = 0
    if seconds > _LOW:
        # The subtrahend keeps what is exactly an upper limit below it in spite of rounding.
        k = <int>ceil(log(seconds / _LOW) * _PER_STEP - 1e-9)
        if k > STEPS - 1:
            k = STEPS - 1
    cell_bump(first, <int64_t>(seconds * 1e6 + 0.5))
    cell_bump(first + 1, 1)
    cell_bump(first + 3 + k, <int64_t>1 << 32 if window & 1 else 1)


@cython.final
cdef class Tally:
    """The series of one kind of outcome, counted together with one call. For one writer.

    `requests` rise by 1, `prompt`, `completion` and `total` by the tokens, `durations` get the time to the start of the
    answer, `latency` that to its end, `ttft` and `first` that to the first chunk of a stream. `failures`, which others
    may write too, is set back to 0.
    """

    cdef tuple requests
    cdef tuple prompt
    cdef tuple completion
    cdef tuple total
    cdef tuple durations
    cdef Buckets latency
    cdef Buckets ttft
    cdef Summary first
    cdef Cell failures

    def __cinit__(self, tuple requests not None, tuple prompt=(), tuple completion=(), tuple total=(),
                  tuple durations=(), Buckets latency=None, Buckets ttft=None, Summary first=None,
                  Cell failures=None):
        self.requests = requests
        self.prompt = prompt
        self.completion = completion
        self.total = total
        self.durations = durations
        self.latency = latency
        self.ttft = ttft
        self.first = first
        self.failures = failures

    def count(self, int64_t prompt, int64_t completion, int64_t total, double started, double headed, double now,
              double ttft):
        """One request that `started`, whose answer began at `headed`, and that is over `now`: all of one clock. `ttft`
        is in seconds, negative when there was no chunk. A total below the sum of the others counts as that sum."""
        cdef Summary series
        bump_all(self.requests, 1)
        if prompt:
            bump_all(self.prompt, prompt)
        if completion:
            bump_all(self.completion, completion)
        if prompt or completion or total:
            bump_all(self.total, max(total, prompt + completion))
        for series in self.durations:
            series.put(headed - started, now)
        if self.latency is not None:
            self.latency.put(now - started)
        if ttft >= 0.0:
            if self.ttft is not None:
                self.ttft.put(ttft)
            if self.first is not None:
                self.first.put(ttft, now)
        if self.failures is not None:
            if self.failures.cells.base == NULL:
                refuse(self.failures.cells, self.failures.index)
            if cell_load(self.failures.cells.base + self.failures.index):
                cell_store(self.failures.cells.base + self.failures.index, 0)


cdef int bump_all(tuple series, int64_t n) except -1:
    cdef Cell cell
    for cell in series:
        if cell.cells.base == NULL:
            refuse(cell.cells, cell.index)
        cell_bump(cell.cells.base + cell.index, n)
    return 0
