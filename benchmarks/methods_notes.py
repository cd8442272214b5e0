"""What explains results of docs/methods.md that stand out, or that they are not explained; written by hand."""

NOTES = (
    "POT and POST have the same three levels at 2 bits, and so the same accuracy.",
    "INQ at 2 bits has one magnitude per layer, 2^n1, which the layer's largest weight sets: 1.5 to 3.5 times the mean "
    "magnitude here, so that 77 % of the weights are zero at the end (LSQ: 41 %, POT: 52 %).",
    "NIPQ's budget is a term of the loss: of the 36 quantizers that learned their bits, 35 ended at the budget and "
    "one, for activations at 3 bits, a bit above.",
    "APoT, QIL and DAQ for weights at 2 bits: not explained.",
)
