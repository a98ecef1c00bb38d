"""The results of runs beside the paper's: tables and curves."""
