"""Inputs drawn at random: every failure has a seed that replays it."""
