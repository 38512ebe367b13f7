Prints e to 250 decimals in five lines

e is 2 plus 1/2 (1 plus 1/3 (1 plus 1/4 (1 plus ))) and so on
Written with one digit for each divisor its fraction is 1 1 1 1 and so on
Ten times that fraction is worked out from the last digit to the first:
each digit times ten plus the carry is divided by its divisor
The rest is the new digit and the quotient is carried to the digit before
What the first digit carries out is a decimal of e

A digit is a group of seven cells and the divisors run from 150 down to 2 from left to right
150 factorial has 263 decimals so 250 of e are safe and all numbers fit into a cell

  I X D F Z U A
I  the divisor
X  scratch for copies
D  units until the divisor is full
F  tells that D reached zero     Z stays 0
U  the carry and then ten for each unit of A
A  the digit

Left of the first group is one with I = 0 where X counts lines and D columns
Right of the last is one with I = 0 whose U receives the decimal

>>>>> ++++++++++ [ - < +++++ > ] < . ---- . [-]   2 and a point
++++++++++ . [-]                                  newline
>>> +++++++++++++++ [ - > ++++++++++ < ] > -      I = 149 in the first group

Lay out the groups: here I is one less than the divisor

[
  [ - > + >>>>>> + <<<<<<< ] > [ - < + > ] <      copy I to the next group by way of X
  + >>>>>> + <<<<<<                               I is the divisor and A = 1
  >>>>>>> -                                       the next divisor is one less
]
<<<<<<< [<<<<<<<]

> +++++ [                                         for each line
  > ++++++++++ [ - > +++++ < ] > [ - < + > ] <    D = 50
  [                                               for each column
    >>>>> [                                       for each digit from the last to the first
      [ - > + > + << ] > [ - < + > ] <            D = I by way of X
      >>>>>> +                                    one round more than A for the carry
      [
        < [                                       for each unit
          - <<< -
          > + < [ > - ] > [                       if D is 0
            -
            <<< [ - > + > + << ] > [ - < + > ]    D = I by way of X
            >>>>>>>>>>> + <<<<<<<<< >             carry one to the next U
          ] <
          >>
        ]
        ++++++++++ > -                            the next round has ten units
      ]
      < [-]
      <<<<< [ - > + >>>>> + <<<<<< ]              A = I by way of X
      > [ - < + > ]
      > [ - >>>> - <<<< ] <<                      A is less by D
      >>>>>>>
    ]
    > ++++++ [ - >>>> ++++++++ <<<< ]             print the decimal
    >>>> . [-] <<<<<
    <<<<<<< [<<<<<<<] >>                          back to the columns
    -
  ]
  > ++++++++++ . [-] << -                         newline
]
