#!/usr/bin/perl
# Logistic regression with heavy-ball momentum, rows in random order: perl descend.pl LR MOMENTUM [SEED]
use strict;
use warnings;

my ($lr, $momentum, $seed) = @ARGV;
die "usage: descend.pl LR MOMENTUM [SEED]\n" unless defined $momentum;

sub normal { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }

# ($rows pairs of inputs and a class that two of the inputs decide, mostly)
sub rows_of {
    my ($rows) = @_;
    return map { my @x = map { normal() } 1 .. 10; [\@x, $x[0] + 2 * $x[1] + 0.5 * normal() > 0 ? 1 : 0] } 1 .. $rows;
}

sub dot { my ($a, $b) = @_; my $sum = 0; $sum += $a->[$_] * $b->[$_] for 0 .. $#$a; return $sum }
sub chance { my $z = shift; return 1 / (1 + exp(-($z > 30 ? 30 : $z < -30 ? -30 : $z))) }

srand(0);    # the data are always the same
my @train = rows_of(200);
my @valid = rows_of(400);
defined $seed ? srand($seed) : srand();

my @w = (0) x 10;
my @speed = (0) x 10;
for my $epoch (1 .. 5) {
    for my $row (map { $train[rand @train] } 1 .. @train) {
        my ($x, $class) = @$row;
        my $error = chance(dot(\@w, $x)) - $class;
        for my $i (0 .. 9) { $speed[$i] = $momentum * $speed[$i] - $lr * $error * $x->[$i]; $w[$i] += $speed[$i] }
    }
    my $loss = 0;
    for my $row (@valid) {
        my $p = chance(dot(\@w, $row->[0]));
        $loss -= log($row->[1] ? $p : 1 - $p) / @valid;
    }
    printf "epoch %d | validation loss: %.4f\n", $epoch, $loss;
}
