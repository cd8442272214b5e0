"""Storage, product tables, and counts without weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost import METRICS, evaluate, parameter_storage
from hwsim.cost.adapter import with_adapters
from hwsim.cost.counts import counts, operation_counts
from hwsim.cost.product_tables import product_tables, table_error
from hwsim.cost.storage import DENSE, MemoryLayout, activation_storage, peak_activation_bits
from hwsim.workload import Layer, Workload
from hwsim.workloads import LITERATURE, Precision, literature, quantized, unquantized


# Weight memory with first and last layer at 8 bits, codes alone, in decimal MB (METHODS: 11.68 / 6.10 / 4.71 / 3.31).
@pytest.mark.parametrize(("bits", "megabytes"), [(8, 11.68), (4, 6.10), (3, 4.71), (2, 3.31)])
def test_weight_memory_of_resnet18(bits: int, megabytes: float) -> None:
    table = parameter_storage(quantized(literature("resnet18"), Precision("uniform", bits)), DENSE)
    assert round(table.value("storage_bits", part="codes") / 8e6, 2) == megabytes


def test_float_storage_is_32_bits_a_parameter() -> None:
    assert parameter_storage(literature("resnet18"), DENSE).value("storage_bits") == 11_689_512 * 32


@given(st.integers(1, 10**6), st.integers(1, 32), st.integers(1, 128))
def test_padding_is_what_whole_words_waste(count: int, bits: int, word: int) -> None:
    padding = MemoryLayout(word).padding(count, bits)
    total = count * bits + padding
    assert total % word == 0
    if bits <= word:
        assert total // word == -(-count // (word // bits))


def test_three_bit_codes_waste_two_bits_a_word() -> None:
    assert MemoryLayout(32).padding(10, 3) == 2
    assert MemoryLayout(32).padding(11, 3) == 2 + 29
    assert MemoryLayout(None).padding(11, 3) == 0


def test_a_word_of_no_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="word_bits must be at least 1, got 0"):
        MemoryLayout(0)


def test_storage_is_split_by_what_it_holds() -> None:
    workload = quantized(with_adapters(literature("resnet18")), Precision("post", 3))
    parts = {entry.part for entry in parameter_storage(workload)}
    assert {"codes", "scales", "bias", "affine", "table", "padding", "adapter.linear1.codes"} <= parts


def chain(*inputs: tuple[str, ...]) -> Workload:
    """Return three layers of 4, 8 and 2 values that read what is given; the network's input has 4."""
    sizes = ((4, 4), (4, 8), (8, 2))
    layers = [Layer(f"l{i}", "linear", C=c, K=k, has_weight=True) for i, (c, k) in enumerate(sizes)]
    return Workload("chain", tuple(Layer(**{**x.__dict__, "inputs": i}) for x, i in zip(layers, inputs, strict=True)))


def test_the_peak_of_a_chain_is_its_widest_pair() -> None:
    assert peak_activation_bits(chain(("input",), ("l0",), ("l1",))) == (4 + 8) * 32


def test_a_residual_connection_keeps_its_tensor_alive() -> None:
    assert peak_activation_bits(chain(("input",), ("l0",), ("l1", "l0"))) == (4 + 8 + 2) * 32


def test_a_workload_without_a_graph_has_no_peak() -> None:
    quantities = {
        entry.quantity for entry in activation_storage(Workload("x", (Layer("a", "linear", has_weight=True),)))
    }
    assert quantities == {"activation_bits"}


def test_total_activations_of_resnet18_in_8_bits() -> None:
    """Inputs of the 21 layers with products: their elements x 8."""
    workload = quantized(literature("resnet18"), Precision("uniform", 8))
    elements = sum(layer.elements_in for layer in workload.mac_layers)
    assert activation_storage(workload).value("activation_bits") == elements * 8


# ASQ, section 3.3.1: "a table of size [8, 4]" at 3 bits = 8 activation codes x 4 magnitudes (extended).
def test_the_papers_table_at_3_bits() -> None:
    assert product_tables((3,), extended=True).value("table_entries", convention="paper layout") == 8 * 4


def test_the_readmes_table_at_4_bits() -> None:
    """128 entries are 0.0011 % of ResNet-18's parameters; the README of the released code says below 0.002 %."""
    entries = product_tables((4,), extended=True).value("table_entries", convention="paper layout")
    assert entries == 128
    assert round(100 * entries / 11_689_512, 4) == 0.0011


def test_a_column_per_odd_exponent_is_enough() -> None:
    table = product_tables((3, 4))
    full = table.filter(quantity="table_entries", convention="full layout")
    shared = table.filter(quantity="table_entries", convention="shared layout")
    assert [entry.value for entry in full] == [8 * 1, 16 * 3]  # exponents 1; 1, 3, 5
    assert [entry.value for entry in shared] == [8, 16]


def test_roms_of_a_table() -> None:
    """16 words of 11 bits: 11 look-up tables of 64 x 1, or one block of 1024 x 18; 256 words of 15: 4 x 15, or one."""
    table = product_tables((4,), fraction_bits=6)
    assert table.value("lut6_rom", convention="shared layout") == 11
    assert table.value("bram18", convention="shared layout") == 1
    wide = product_tables((4,), act_bits=8, fraction_bits=6)
    width = int(wide.value("table_width", convention="shared layout"))
    assert wide.value("lut6_rom", convention="shared layout") == 4 * width


def test_fraction_bits_buy_precision() -> None:
    errors = [e.value for e in table_error(4, layout="full") if e.quantity == "product_error_level"]
    assert len(errors) == 13
    assert errors[-1] < errors[0] / 2**11
    assert all(e.value <= 0.5 for e in table_error(4, layout="full") if e.quantity == "product_error")


# Without weights every code is equally likely: of 15 levels of 4-bit POST six have an odd exponent (1, 3, 5).
def test_expected_operations_of_post() -> None:
    layer = Layer("c", "linear", C=15, K=15, has_weight=True)
    workload = quantized(Workload("x", (layer,)), Precision("post", 4), None)
    table = operation_counts(workload)
    assert table.value("table_read") == 225 * 6 / 15
    assert table.value("shift", part="products") == 225
    assert {entry.convention for entry in table} == {"operations expected if all weight codes are equally likely"}


def test_operations_of_the_layers_between() -> None:
    workload = literature("resnet18")
    table = counts(workload)
    pool, last = workload.layer("maxpool"), workload.layer("avgpool")
    assert table.value("compare", layer="maxpool") == pool.outputs * 8
    assert table.value("add", layer="avgpool") == 512 * 48
    assert table.value("multiply", layer="avgpool") == last.outputs
    assert table.value("add", part="add") == sum(layer.outputs for layer in workload if layer.kind == "add")


def test_operations_without_formats_are_floating_point() -> None:
    assert {e.convention for e in operation_counts(literature("resnet18"))} == {"floating-point operations"}


def test_an_unknown_operator_is_counted_as_unknown() -> None:
    table = counts(Workload("x", (Layer("sort", "unknown", op="aten::sort"),)))
    assert table.value("unknown_operators", part="aten::sort") == 1


@pytest.mark.parametrize("name", LITERATURE)
def test_quantizing_and_back_is_the_same_workload(name: str) -> None:
    assert unquantized(quantized(literature(name), Precision("pot", 4))) == literature(name)


def test_precision_again_replaces_precision() -> None:
    workload = literature("resnet20_a")
    once = quantized(workload, Precision("uniform", 4))
    assert quantized(quantized(workload, Precision("post", 3)), Precision("uniform", 4)) == once


def test_layers_can_be_overridden() -> None:
    chosen = quantized(literature("resnet20_a"), Precision("uniform", 4), overrides={"linear": Precision("uniform", 2)})
    bits = {layer.key: layer.weight_bits for layer in chosen.mac_layers}
    assert (bits["conv1"], bits["layer1.0.conv1"], bits["linear"]) == (8, 4, 2)
    with pytest.raises(ValueError, match="unknown layer with products 'fc'"):
        quantized(literature("resnet20_a"), Precision(), overrides={"fc": Precision()})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": "pott"}, "unknown weight format 'pott'; did you mean 'pot'"),
        ({"weights": "uniform", "exponents": 3}, "uniform weights have neither exponents"),
        ({"weights": "apot", "extended": True}, "apot weights have neither exponents"),
        ({"weights": "pot", "bits": 8}, "at most exponents=.* fit"),
        ({"bits": 0}, "bits must be"),
    ],
)
def test_a_precision_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Precision(**fields)  # type: ignore[arg-type]


def test_every_metric_at_once() -> None:
    workload = quantized(literature("resnet50"), Precision("post", 4))
    table = evaluate(workload)
    assert {"macs", "storage_bits", "bops", "table_bits", "energy", "cycles", "parameters_overhead"} <= {
        entry.quantity for entry in table
    }
    assert all(entry.unit and entry.source for entry in table)
    with pytest.raises(ValueError, match="unknown metric 'bobs'; did you mean 'bops'"):
        evaluate(workload, ["bobs"])
    assert list(METRICS) == ["counts", "storage", "bops", "tables", "energy", "gates", "accelerator", "overhead"]
