"""How deep the columns of a Parquet file are nested, told before Arrow reads its footer.

Arrow goes down the schema by recursion and has no bound for it: a footer of 80 kB whose groups hold each other ends the
process by a fault of its stack, which no `except` sees. The footer is one struct of Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, and parquet.thrift: `FileMetaData`
with `schema` as its field 2, `SchemaElement` with `num_children` as its field 5). A field that comes twice is looked at
twice, since it is the last one that Arrow takes.
"""

MOST_NESTED = 1_000
"""Levels; a column that can be read has one."""
HARMLESS_BYTES = 16 * 2**10
"""A level takes five bytes at least: a footer of so many has fewer levels than Arrow's stack."""
MOST_FOOTER_BYTES = 32 * 2**20
"""Its values take many times as much: this is a thousand row groups of three hundred columns."""
TAIL_BYTES = 8

_MAGIC = b"PAR1"
_SCHEMA, _CHILDREN = 2, 5
_BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 3, 7, 8, 9, 10, 11, 12, 13
_VARINTS = frozenset((4, 5, 6))
_FIXED = {1: 0, 2: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
"""Bytes of a field's value by its type; a truth value is the type itself."""
_MOST_WITHIN = 64
"""Structs within structs, as Thrift's own readers have it."""


class BadFooter(ValueError):
    """The footer is none of Parquet, is too large, or its columns are nested too deeply."""


def footer_bytes(tail: bytes) -> int:
    """The size of the footer that the last eight bytes of a file tell; 0 where they are not those of Parquet.

    Raises BadFooter for one that is larger than is read.
    """
    size = int.from_bytes(tail[-8:-4], "little") if len(tail) >= TAIL_BYTES and tail.endswith(_MAGIC) else 0
    if size > MOST_FOOTER_BYTES:
        raise BadFooter(f"the file's footer has more than {MOST_FOOTER_BYTES // 2**20} MiB; write larger row groups")
    return size


def require_readable_file(data: bytes) -> None:
    """`require_readable` for a whole file."""
    size = footer_bytes(data[-TAIL_BYTES:])
    require_readable(data[max(len(data) - TAIL_BYTES - size, 0) : -TAIL_BYTES])


def require_readable(footer: bytes) -> None:
    """Raises BadFooter for what Arrow must not be given. What else is wrong with a footer, Arrow says itself."""
    if len(footer) <= HARMLESS_BYTES:
        return
    try:
        deepest = _Footer(footer).deepest()
    except IndexError:
        raise BadFooter("the file's footer ends early") from None
    if deepest > MOST_NESTED:
        raise BadFooter(f"the file's columns are nested more than {MOST_NESTED} levels deep; write a flat table")


class _Footer:
    """A reader of the one struct, which goes over all of it and keeps nothing but the depth of its schemas."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def deepest(self) -> int:
        """Levels of the deepest schema. Raises IndexError where the data ends early, BadFooter."""
        found = number = 0
        while head := self._byte():
            number, kind = self._field(head, number)
            if number == _SCHEMA and kind == _LIST:
                found = max(found, self._schema())
            else:
                self._skip(kind, 0)
        return found

    def _schema(self) -> int:
        """Levels of a list of elements, each before its children."""
        count, kind = self._list()
        if kind != _STRUCT:
            raise BadFooter("the file's footer has no schema")
        open_groups: list[int] = []
        found = 0
        for _ in range(count):
            children = self._children()
            while open_groups and not open_groups[-1]:
                open_groups.pop()
            if open_groups:
                open_groups[-1] -= 1
            if children > 0:
                open_groups.append(children)
                found = max(found, len(open_groups))
        return found

    def _children(self) -> int:
        found = number = 0
        while head := self._byte():
            number, kind = self._field(head, number)
            if number == _CHILDREN and kind in _VARINTS:
                found = _signed(self._varint(), 32)
            else:
                self._skip(kind, 1)
        return found

    def _field(self, head: int, before: int) -> tuple[int, int]:
        """Number and type of a field; a short head has the distance to the one `before`."""
        number = before + (head >> 4) if head >> 4 else _signed(self._varint(), 16)
        return number & 0xFFFF, head & 15

    def _skip(self, kind: int, within: int) -> None:
        if kind in _VARINTS:
            self._varint()
        elif kind == _BINARY:
            self._forward(self._varint())
        elif kind in _FIXED:
            self._forward(_FIXED[kind])
        elif within >= _MOST_WITHIN:
            raise BadFooter("the file's footer is nested too deeply")
        elif kind == _STRUCT:
            number = 0
            while head := self._byte():
                number, inner = self._field(head, number)
                self._skip(inner, within + 1)
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            self._skip_all((inner,), count, within + 1)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            self._skip_all((kinds >> 4, kinds & 15), count, within + 1)
        else:
            raise BadFooter("the file's footer has a value of no known type")

    def _skip_all(self, kinds: tuple[int, ...], count: int, within: int) -> None:
        """The values of a list or a map, where a truth value has a byte of its own."""
        for _ in range(count):
            for kind in kinds:
                self._skip(_BYTE if kind in (1, 2) else kind, within)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def _byte(self) -> int:
        found = self._data[self._at]
        self._at += 1
        return found

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 128:
            found |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise BadFooter("the file's footer has a number that is too long")
        return found | byte << shift

    def _forward(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError


def _signed(folded: int, bits: int) -> int:
    """A whole number as Thrift folds it, cut to its bits as readers in C++ do."""
    number = (folded >> 1) ^ -(folded & 1)
    half = 1 << (bits - 1)
    return (number + half) % (2 * half) - half
