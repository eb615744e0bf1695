"""The paper's tables and figures from results, with the paper's own values beside them."""
