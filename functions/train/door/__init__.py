"""The HTTP door of training: who may call, what a call asks for, and how it is answered."""
