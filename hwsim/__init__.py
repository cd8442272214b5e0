"""What the hardware computes, and what it costs: bit-accurate simulation of low-bit neural networks."""
