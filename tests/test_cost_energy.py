"""Constants with units and sources, what is interpolated between them, and the energy of a network's arithmetic."""

import pytest

from hwsim.cost.constants import COLUMNS, TABLES, constant, load_table, parse_table
from hwsim.cost.counts import OPERATION_KINDS
from hwsim.cost.energy import arithmetic_energy
from hwsim.cost.technology import TECHNOLOGIES, MissingConstantError, Technology
from hwsim.workload import Layer, Workload
from hwsim.workloads import Precision, literature, quantized

HEADER = ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("table", TABLES)
def test_every_constant_has_a_unit_a_source_and_a_node(table: str) -> None:
    rows = load_table(table)
    assert rows
    assert all(row.unit and row.source and row.node_nm for row in rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("int_add,8,,0.03,,45,Horowitz,", r"x.csv, row 1 \(int_add\): a constant needs a unit"),
        ("int_add,8,,0.03,pJ,45,,", r"x.csv, row 1 \(int_add\): a constant needs a source"),
        (",8,,0.03,pJ,45,Horowitz,", r"x.csv, row 1 \(\): a constant needs a name"),
        ("int_add,8,,much,pJ,45,Horowitz,", r"row 1 \(int_add\): value must be a number of at least 0, got 'much'"),
        ("int_add,8,,-1,pJ,45,Horowitz,", r"row 1 \(int_add\): value must be a number of at least 0, got '-1'"),
        ("int_add,0,,1,pJ,45,Horowitz,", r"row 1 \(int_add\): bits must be a positive integer, got '0'"),
    ],
)
def test_a_row_without_what_it_needs_is_refused_by_name(row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_table(HEADER + row + "\n", "x.csv")


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x.csv: no column 'source'"):
        parse_table("name,bits,capacity_bits,value,unit,node_nm,note\n", "x.csv")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown table of constants 'fpga'; did you mean 'fpga7'"):
        load_table("fpga")
    with pytest.raises(ValueError, match="unknown constant of fpga7 'lut6_rom_word'"):
        constant("fpga7", "lut6_rom_word")
    with pytest.raises(ValueError, match="horowitz2014 has 3 rows 'int_add'"):
        constant("horowitz2014", "int_add")
    with pytest.raises(ValueError, match="unknown technology 'fpga7'"):
        Technology("fpga7")


# Horowitz, ISSCC 2014, Fig. 1.1.9: 8-bit integer multiplication 0.2 pJ, addition 0.03; 32 bits 3.1 and 0.1; 64 bits of
# an 8 KB, 32 KB, 1 MB cache 10, 20, 100 pJ; of DRAM 1.3 nJ.
def test_horowitz_rows_are_met_exactly() -> None:
    table = Technology("horowitz2014")
    assert table.operation("int_multiply", 8, 8).energy_pj == 0.2
    assert table.operation("int_multiply", 32, 32).energy_pj == 3.1
    assert table.operation("int_add", 16).energy_pj == 0.05
    assert table.operation("float_multiply", 32, 32).energy_pj == 3.7
    assert table.access("sram_read", 64, 8 * 8192).energy_pj == 10
    assert table.access("sram_read", 64, 1024 * 8192).energy_pj == 100
    assert table.access("dram_access", 64).energy_pj == 1300


def test_between_rows_energy_is_linear_and_below_in_proportion() -> None:
    table = Technology("horowitz2014")
    assert table.operation("int_multiply", 4, 4).energy_pj == 0.2 * 16 / 64
    assert table.operation("int_multiply", 4, 8).energy_pj == 0.2 * 32 / 64
    assert table.operation("int_multiply", 16, 16).energy_pj == pytest.approx(0.2 + 2.9 * (256 - 64) / (1024 - 64))
    assert table.operation("int_add", 24).energy_pj == pytest.approx(0.075)
    assert table.operation("int_add", 64).energy_pj == 0.2
    assert "interpolated" in table.operation("int_add", 24).source
    assert "interpolated" not in table.operation("int_add", 8).source


def test_sram_is_a_power_of_its_capacity() -> None:
    table = Technology("horowitz2014")
    assert table.access("sram_read", 64, 16 * 8192).energy_pj == pytest.approx(200**0.5)
    assert table.access("sram_read", 1, 1).energy_pj == 10 / 64
    assert table.access("sram_read", 32, 2**40).energy_pj == 50


def test_every_row_of_energies_is_one_that_the_models_ask_for() -> None:
    arithmetic = {f"{kind}_{what}" for kind in ("int", "float") for what in ("add", "multiply")}
    others = {*OPERATION_KINDS, "sram_read", "sram_write", "dram_access"}
    names = {row.name for table in TECHNOLOGIES for row in load_table(table)}
    assert names <= arithmetic | others


def test_no_number_without_a_row() -> None:
    with pytest.raises(
        MissingConstantError, match=r"aladdin has no row for sram_read; those with one: horowitz2014, jouppi2021$"
    ):
        Technology("aladdin").access("sram_read", 8, 8)


def test_two_tables_that_disagree_are_both_kept() -> None:
    """32-bit multiplication: 3.1 pJ at 45 nm (Horowitz), 12.68 at 40 nm (Aladdin)."""
    found = {name: Technology(name).operation("int_multiply", 32, 32).energy_pj for name in TECHNOLOGIES}
    assert found == {"horowitz2014": 3.1, "jouppi2021": 1.48, "aladdin": 12.68}


def test_what_was_not_checked_says_so() -> None:
    assert all("not re-checked" in row.note for row in load_table("jouppi2021"))


def test_derived_constants_are_what_their_notes_say() -> None:
    for name in ("horowitz2014", "jouppi2021"):
        table = Technology(name)
        adder = table.operation("int_add", 32).energy_pj
        assert table.operation("shift", 32).energy_pj == pytest.approx(adder * 0.417 / 0.21, rel=1e-3)
        newton = 2 * (
            2 * table.operation("float_multiply", 32, 32).energy_pj + table.operation("float_add", 32).energy_pj
        )
        assert table.operation("reciprocal", 32).energy_pj == pytest.approx(newton)
    assert constant("jouppi2021", "table_read").value == pytest.approx(0.009 * 0.3)


def linear(**fields: object) -> Workload:
    return Workload("one", (Layer("fc", "linear", K=10, C=100, has_weight=True, **fields),))  # type: ignore[arg-type]


def test_the_energy_of_a_float_layer() -> None:
    """1000 multiplications of 3.7 pJ, 990 additions of 0.9 pJ (Horowitz, 32-bit floating point)."""
    table = arithmetic_energy(linear())
    assert table.value("energy", part="products.multiply") == pytest.approx(3700)
    assert table.value("energy", part="accumulate.add") == pytest.approx(891)


def test_the_energy_of_an_8_bit_layer() -> None:
    """0.2 pJ a product; sums of 100 products of 16 bits have 23 bits, between 0.05 pJ (16) and 0.1 pJ (32)."""
    table = arithmetic_energy(quantized(linear(), Precision("uniform", 8), None))
    assert table.value("energy", part="products.multiply") == pytest.approx(200)
    assert table.value("energy", part="accumulate.add") == pytest.approx(990 * (0.05 + 0.05 * 7 / 16))


def test_energy_falls_with_the_bits() -> None:
    def energy(bits: int) -> float:
        return arithmetic_energy(quantized(literature("resnet18"), Precision("uniform", bits))).value("energy")

    values = [energy(bits) for bits in range(2, 9)]
    assert values == sorted(values)


def test_what_has_no_price_is_listed() -> None:
    table = arithmetic_energy(literature("resnet18"), "aladdin")
    assert "energy" not in {e.quantity for e in table if e.part.startswith("products")}
    assert table.value("unpriced_operations", part="products.multiply") == 1_814_073_344
