"""Neuron models: parameter schemas and the discrete updates that every backend shares."""
