"""The encoder that comes with SynBench: a small vision transformer, trained by ``train.py`` beside it."""
