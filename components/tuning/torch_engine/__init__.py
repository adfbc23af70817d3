"""The engine for processors and NVIDIA GPUs: transformers' Trainer, PEFT, FSDP2."""
