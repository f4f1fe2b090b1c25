/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: a result that is lost. */
int daxl_planted(long n);

int daxl_planted(long n)
{
	int lost = n;

	return lost;
}
