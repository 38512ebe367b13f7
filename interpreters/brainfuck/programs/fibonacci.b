Prints the first 100 Fibonacci numbers one to a line

Numbers are decimal digits in groups of seven cells with the lowest digit first
  M A B S D F Z
M is 1 in each digit in use  A is a digit of one number and B of the next
S is a sum in units with the carry from the group before
D counts down from ten and F tells that it reached zero  Z stays 0
The group before the first digit has M = 0 and the line counter in its cell A

> ++++++++++ [ - > ++++++++++ < ] > [ - < + > ]   counter = 100 by way of B
>>>>> +                                           M = 1 in the first digit
>> + <<                                           B = 1
<<<<<< [
  >>>>>> [>>>>>>>] <<<<<<<            to the highest digit
  [                                   print B from there down
    >>> ++++++ [ - < ++++++++ > ] < .
    > ++++++ [ - < -------- > ] <<<
    <<<<<<<
  ]
  > [ - >>> + <<< ]                   keep the counter in its D while
  +++++++++ + . [-]                   its A makes a newline
  >>> [ - <<< + >>> ] <<<
  >>>>>> [                            for each digit from the lowest up
    > [ - >> + << ]                   S takes A
    > [ - < + > > + < ]               B moves to A and into S
    >> ++++++++++ <                   D = 10
    [                                 S units go to B
      - < + >> -                      B and D step
      > + < [ > - ] > [               if D is 0
        - <<< [-]                     B = 0
        >>>>>>>> + <<<<<              carry one to the next S
        < ++++++++++ >                D = 10
      > ] <
      <<                              back to S
    ]
    > [-] <<<<                        clear D
    >>>>>>>
  ]
  >>> [ - < + << + >>> ] <<<          a last carry makes a new digit
  [>>>>>>>] <<<<<<< [<<<<<<<]         back to the group before the first
  > -                                 count the line
]
