"""Virtual time, processes that can be killed and stopped, a faulty network and store: what a simulated hour runs on."""
