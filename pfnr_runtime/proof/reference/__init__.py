"""An exact graph evaluated in plain NumPy: what every engine has to give, layer by layer."""
