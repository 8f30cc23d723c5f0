"""How large everything is that a graph computes, found before any engine sees it."""
