Prints a greeting
Cells: counter and four bases near 72 104 112 and 32

++++++++ [
  > +++++++++        cell 1 is 72
  > +++++++++++++    cell 2 is 104
  > ++++++++++++++   cell 3 is 112
  > ++++             cell 4 is 32
  <<<< -
]
> .                  H
> --- .              e
> ---- . .           l l
+++ .                o
> ++++++++++++ .     comma
------------ .       space
< -- .               m
<  .                 e
> +++++++ .          t
<---- .              a
> .                  t
-- .                 r
< .                  a
++ .                 c
++ .                 e
> [-] ++++++++++ .   newline
