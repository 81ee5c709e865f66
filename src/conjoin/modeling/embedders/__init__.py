"""Words to vectors. An embedder turns words into features on the CPU and features into states on the device."""
