Prints its input backwards
The bytes lie side by side to the right of a zero cell

> , [ > , ]
< [ . < ]
