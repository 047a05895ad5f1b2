"""Offline comparison of policies that decide when to retrain: streams, all models that could have been trained, replays."""
