Copies its input to its output up to the end of input or a zero byte

, [ . , ]
