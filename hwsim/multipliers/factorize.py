"""Exact integer factorization of a product table into few terms: T[w, a] = sum_r U[r, w] V[r, a]."""

import numpy as np

from hwsim.arithmetic import IntArray

IntRows = list[list[int]]

MAX_ROWS = 16  #: Distinct rows up to which the lowest rank is looked for,
MAX_RANK = 4  #: and the rank up to which it is for more rows: more terms take longer than the kernels for tables.
LARGEST = 1 << 31  #: Entries beyond this would be of no use to any engine.
PRIME = (1 << 31) - 1


def factorize(table: IntArray) -> tuple[IntArray, IntArray]:
    """Return (U, V), int64 of shapes (R, rows) and (R, columns).

    R is the table's rank over the rationals (1 for a table of zeros) if it is at most 4, or the table has at most 16
    distinct rows, and the factors stay below 2^31: a lattice has as many basis vectors as the space that it spans, so
    an integer factorization needs no more terms.
    V is then a basis of the lattice that the rows span, by Euclid's algorithm on columns (Hermite normal form, e.g.
    Cohen, A Course in Computational Algebraic Number Theory, section 2.4): every row is an integer combination of it.
    Otherwise there is a term per distinct row.
    """
    rows, which = np.unique(table, axis=0, return_inverse=True)
    if len(rows) <= MAX_ROWS or rank(rows) <= MAX_RANK:
        basis = lattice_basis(rows.tolist()) or [[0] * table.shape[1]]
        weights = [_coefficients(row, basis) for row in table.tolist()]
        if max(abs(entry) for row in weights + basis for entry in row) < LARGEST:
            return np.array(weights, dtype=np.int64).T, np.array(basis, dtype=np.int64)
    return (np.arange(len(rows))[:, None] == which.reshape(-1)).astype(np.int64), rows.astype(np.int64)


def rank(table: IntArray) -> int:
    """Return the table's rank modulo 2^31 - 1: its rank, unless that prime divides every largest minor."""
    rest, found = table % PRIME, 0
    for column in range(table.shape[1]):
        pivots = np.flatnonzero(rest[found:, column])
        if len(pivots):
            rest[[found, found + pivots[0]]] = rest[[found + pivots[0], found]]
            unit = rest[found] * pow(int(rest[found, column]), -1, PRIME) % PRIME
            rest[found + 1 :] = (rest[found + 1 :] - rest[found + 1 :, column, None] * unit) % PRIME
            found += 1
    return found


def lattice_basis(rows: IntRows) -> IntRows:
    """Return linearly independent integer rows that span the same lattice, in echelon form with positive pivots."""
    basis: IntRows = []
    for column in range(len(rows[0])):
        while len(active := [row for row in rows if row[column]]) > 1:
            smallest = min(active, key=lambda row: abs(row[column]))
            rows = [row if row is smallest else _reduced(row, smallest, column) for row in rows]
        if active:
            pivot = active[0]
            rows = [row for row in rows if row is not pivot]
            basis.append(pivot if pivot[column] > 0 else [-entry for entry in pivot])
    return basis


def _reduced(row: list[int], by: list[int], column: int) -> list[int]:
    quotient = row[column] // by[column]
    return [entry - quotient * other for entry, other in zip(row, by, strict=True)] if quotient else row


def _coefficients(row: list[int], basis: IntRows) -> list[int]:
    """Return how often each basis row is in this one."""
    found = []
    for member in basis:
        pivot = next((i for i, entry in enumerate(member) if entry), 0)
        found.append(row[pivot] // member[pivot] if member[pivot] else 0)
        row = [entry - found[-1] * other for entry, other in zip(row, member, strict=True)]
    return found
