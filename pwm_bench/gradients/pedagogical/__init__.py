"""Toy problems of the PWM paper, ball and wall and the double pendulum, measured with seeds and intervals."""
