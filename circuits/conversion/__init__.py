"""Trained rates as spikes: how faithful a conversion is (`striate convert`)."""
