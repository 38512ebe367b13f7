Prints the primes up to 100 one to a line: those with two divisors

  0 N   candidates left
  1 P   the candidate
  2 T   its tens
  3 O   its ones
  4 W   steps until the ones reach ten
  5 F   tells that W reached zero        6 stays 0
  7 V   the divisor that is tried
  8 X   scratch for copies
  9 C   units of P not divided yet
 10 D   units until the divisor is full
 11 F   tells that D reached zero       12 stays 0
 13 K   divisors found
 14 F   tells that K is two             15 stays 0

> ++++++++++ [ - < ++++++++++ > ] < -            N = 99
> + >> + > +++++++++ <<<<                        P = 1 with its digits
[
  - > + >> + > -                                 the next candidate
  > + < [ > - ] > [                              if W is 0
    - < ++++++++++ < [-] < + >>> >               carry into the tens
  ] <
  <<<< [ - >>>>>> + > + <<<<<<< ]                V = P by way of X
  >>>>>>> [ - <<<<<<< + >>>>>>> ] <
  [                                              for V from P down to 1
    <<<<<< [ - >>>>>>> + > + <<<<<<<< ]          C = P by way of X
    >>>>>>> [ - <<<<<<< + >>>>>>> ] >
    [                                            for each unit
      - >
      > + < [ > - ] > [                          if D is 0
        - <<<< [ - > + >> + <<< ]                D = V by way of X
        > [ - < + > ] >>> >
      ] <
      < - <
    ]
    > > + < [ > - ] > [ - >> + << > ] <          if D is 0 count a divisor
    < [-] <<< -
  ]
  >>>>>> --
  > + < [ > - ] > [                              if K was 2
    -
    <<<<<<<<<<<<                                 at T
    [ - >>>>> + > + <<<<<< ]                     V = T by way of X
    >>>>>> [ - <<<<<< + >>>>>> ] <
    [ > ++++++ [ - < ++++++++ > ] < . [-] ]      print it unless it is 0
    <<<< [ - >>>> + > + <<<<< ]                  V = O by way of X
    >>>>> [ - <<<<< + >>>>> ]
    ++++++ [ - < ++++++++ > ] < . [-]            print it
    ++++++++++ . [-]
    >>>>>>> >
  ] <
  < [-] <<<<<<<<<<<<<
]
