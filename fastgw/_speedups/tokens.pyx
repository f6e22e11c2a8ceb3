# cython: autotestdict=False
"""Counts the tokens of a text, exactly as tiktoken would encode it, from a table that many processes may share.

`build` turns a packed vocabulary into an image, `Table` reads an image that any buffer holds (a mapping, usually),
`Table.count` counts one text and `Counter` one that comes in pieces. Names of special tokens count as ordinary text.

Cost is linear in the text, about 10 ns per byte and at most about 0.1 us per byte for text that is made to be slow.
Long texts are counted without the GIL. A table is read-only and may be used by any number of threads, a counter by one.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except? NULL

cdef extern from "utf8.h" nogil:
    int u8_sequence(const uint8_t *p, const uint8_t *end)
    const uint8_t *u8_valid(const uint8_t *p, const uint8_t *end)

cdef extern from "bpe.h" nogil:
    ctypedef struct bpe_header:
        char name[16]
        uint32_t tokens

    ctypedef struct bpe_table:
        bpe_header head

    ctypedef struct bpe_state:
        size_t count, pos, wait
        uint32_t *work

    const uint32_t BPE_MAX_TOKENS
    size_t bpe_layout(bpe_table *t, const bpe_header *head, const uint8_t *base)
    bint bpe_open(bpe_table *t, const uint8_t *base, size_t size)
    int bpe_build(const bpe_header *head, uint32_t limit, const uint8_t *packed, uint8_t *base)
    int bpe_count(const bpe_table *t, bpe_state *s, const uint8_t *data, size_t size, bint final, size_t budget)
    size_t bpe_drop(bpe_state *s)

HEADER_SIZE = sizeof(bpe_header)

cdef enum:
    SLICE = 65536       # one Counter.step
    KEEP_GIL = 16384    # texts up to here are counted in less time than another thread might keep the GIL


cdef size_t layout(const uint8_t[::1] header, bpe_header *head) except 0:
    cdef bpe_table table
    cdef size_t size
    if header.shape[0] < <Py_ssize_t>sizeof(bpe_header):
        raise ValueError("the header of a vocabulary has 64 bytes")
    memcpy(head, &header[0], sizeof(bpe_header))
    size = bpe_layout(&table, head, NULL)
    if size == 0:
        raise ValueError("not the header of a vocabulary")
    return size


def image_size(header):
    """Bytes of the image of the vocabulary with this header (of HEADER_SIZE bytes, as scripts/tables.py writes it)."""
    cdef bpe_header head
    return layout(header, &head)


def build(header, packed, image, *, limit=None):
    """Write the image of a packed vocabulary into the zeroed, writable buffer `image`, without the GIL.

    `limit` leaves out the ranks from there on. An image becomes usable for others at the very end. Raises ValueError
    for a vocabulary that is not well-formed or a buffer of a size other than image_size().
    """
    cdef bpe_header head
    cdef const uint8_t[::1] source = packed
    cdef uint8_t[::1] target = image
    cdef uint32_t below = BPE_MAX_TOKENS if limit is None else limit
    cdef int fault
    if <size_t>target.shape[0] != layout(header, &head) or <size_t>&target[0] % 16 != 0:
        raise ValueError("the buffer for the image has another size, or is not aligned to 16 bytes")
    if source.shape[0] != 256 + 6 * (<Py_ssize_t>head.tokens - 256):
        raise ValueError("the packed vocabulary has another size than its header says")
    if below < 256:
        raise ValueError("a vocabulary has at least the 256 bytes")
    with nogil:
        fault = bpe_build(&head, below, &source[0], &target[0])
    if fault == -2:
        raise MemoryError
    if fault != 0:
        raise ValueError("not a well-formed vocabulary")


cdef int text_of(object text, const uint8_t **data, Py_ssize_t *size) except -1:
    """UTF-8 of a str that has no lone surrogates, or bytes as they are. Returns whether it must still be checked."""
    if isinstance(text, str):
        data[0] = <const uint8_t *>PyUnicode_AsUTF8AndSize(text, size)
        return 0
    if isinstance(text, bytes):
        data[0] = <const uint8_t *>PyBytes_AS_STRING(text)
        size[0] = PyBytes_GET_SIZE(text)
        return 1
    raise TypeError(f"a text is str or bytes, not {type(text).__name__}")


def _without_surrogates(text):
    """As tiktoken does it: pairs become the character that they stand for, single ones U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@cython.final
cdef class Table:
    """The vocabulary in `image`, any buffer that holds one and stays as it is; the table keeps it in use.

    Raises ValueError when there is no complete image in it.
    """

    cdef bpe_table table
    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, image):
        PyObject_GetBuffer(image, &self.view, PyBUF_SIMPLE)
        self.held = True
        if <size_t>self.view.buf % 16 != 0 or not bpe_open(&self.table, <const uint8_t *>self.view.buf, self.view.len):
            raise ValueError("not a complete image of a vocabulary")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    @property
    def name(self):
        cdef const char *name = self.table.head.name
        return name[:sizeof(self.table.head.name)].rstrip(b"\0").decode("ascii", "replace")

    def count(self, text):
        """Tokens of a str or of UTF-8 bytes; what is wrong in it counts as U+FFFD. Raises TypeError for other types."""
        cdef bpe_state state
        cdef const uint8_t *data
        cdef Py_ssize_t size
        cdef bint unchecked
        cdef int result
        cdef Counter counter
        try:
            unchecked = text_of(text, &data, &size)
        except UnicodeEncodeError:
            return self.count(_without_surrogates(text))
        if unchecked and u8_valid(data, data + size) != data + size:
            counter = Counter(self)
            counter.feed(text)
            counter.end()
            while counter.step():
                pass
            return counter.count
        memset(&state, 0, sizeof(state))
        if size > KEEP_GIL:
            with nogil:
                result = bpe_count(&self.table, &state, data, size, True, <size_t>-1)
        else:
            result = bpe_count(&self.table, &state, data, size, True, <size_t>-1)
        free(state.work)
        if result < 0:
            raise MemoryError
        return state.count


@cython.final
cdef class Counter:
    """Counts one text that comes in pieces, which may end anywhere, even inside a character.

    `feed` only stores; `step` counts up to 64 KiB of what is certain so far, so that a caller can do something else in
    between. After `end` and when `step` is False, `count` is that of the whole text. What is counted is forgotten: a
    counter holds the last piece of the text that more text could still change, which is rarely more than a word.
    """

    cdef readonly Table table
    cdef bpe_state state
    cdef uint8_t *data
    cdef size_t size, room
    cdef uint8_t tail[4]    # an unfinished character
    cdef size_t tail_size
    cdef bint ended, busy

    def __cinit__(self, Table table not None):
        self.table = table

    def __dealloc__(self):
        free(self.data)
        free(self.state.work)

    @property
    def count(self):
        return self.state.count

    @property
    def ended(self):
        return self.ended

    cdef int reserve(self, size_t more) except -1:
        cdef uint8_t *larger
        cdef size_t dropped, room
        if self.size + more > self.room:
            dropped = bpe_drop(&self.state)
            if dropped:
                self.size -= dropped
                memmove(self.data, self.data + dropped, self.size)
        if self.size + more > self.room:
            room = self.room if self.room != 0 else 256
            while room < self.size + more:
                room *= 2
            larger = <uint8_t *>realloc(self.data, room)
            if larger == NULL:
                raise MemoryError
            self.data = larger
            self.room = room
        return 0

    cdef void put(self, const uint8_t *p, size_t n) noexcept nogil:
        if n != 0:  # else there may be no memory yet
            memcpy(self.data + self.size, p, n)
            self.size += n

    cdef int check(self) except -1:
        if self.busy:
            raise RuntimeError("another thread uses this counter")
        return 0

    def feed(self, text):
        """Append a str or UTF-8 bytes. Raises TypeError for other types, ValueError after `end`."""
        cdef const uint8_t *data
        cdef Py_ssize_t size
        cdef bint unchecked
        self.check()
        if self.ended:
            raise ValueError("the text has ended")
        try:
            unchecked = text_of(text, &data, &size)
        except UnicodeEncodeError:
            return self.feed(_without_surrogates(text))
        if not unchecked:
            self.finish_character()
            self.reserve(size)
            self.put(data, size)
            return
        if self.tail_size == 0 and u8_valid(data, data + size) == data + size:
            self.reserve(size)
            self.put(data, size)
        else:
            self.reserve(3 * (size + 4))  # each broken byte may become U+FFFD
            self.repair(data, data + size)

    cdef void repair(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *valid
        cdef int size
        while self.tail_size != 0 and p < end:
            self.tail[self.tail_size] = p[0]
            size = u8_sequence(self.tail, self.tail + self.tail_size + 1)
            if size < 0:  # the byte starts something new
                self.put(b"\xEF\xBF\xBD", 3)
                self.tail_size = 0
                break
            p += 1
            self.tail_size += 1
            if size > 0:
                self.put(self.tail, size)
                self.tail_size = 0
        while p < end:
            valid = u8_valid(p, end)
            self.put(p, valid - p)
            p = valid
            if p == end:
                return
            size = u8_sequence(p, end)
            if size == 0:
                self.tail_size = end - p
                memcpy(self.tail, p, self.tail_size)
                return
            self.put(b"\xEF\xBF\xBD", 3)
            p -= size

    cdef int finish_character(self) except -1:
        if self.tail_size != 0:
            self.tail_size = 0
            self.reserve(3)
            self.put(b"\xEF\xBF\xBD", 3)
        return 0

    def end(self):
        """No more text follows. Ending twice is allowed."""
        self.check()
        self.finish_character()
        self.ended = True

    def step(self):
        """Count about 64 KiB more; whether there is more to count now. Without the GIL when there is much to do."""
        cdef int result
        self.check()
        if self.size - self.state.pos > KEEP_GIL:
            self.busy = True
            with nogil:
                result = bpe_count(&self.table.table, &self.state, self.data, self.size, self.ended, SLICE)
            self.busy = False
        else:
            result = bpe_count(&self.table.table, &self.state, self.data, self.size, self.ended, SLICE)
        if result < 0:
            raise MemoryError
        return result > 0
