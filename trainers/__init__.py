"""How a network learns to live with low-bit arithmetic: quantization-aware training for hwsim."""
