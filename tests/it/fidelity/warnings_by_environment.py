# env: PYTHONWARNINGS=error
import warnings

warnings.warn("now an error")
