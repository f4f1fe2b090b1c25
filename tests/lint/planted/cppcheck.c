/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: a variable that is read before it is written. */
int daxl_planted(int n);

int daxl_planted(int n)
{
	int sum;

	for (int i = 0; i < n; i++)
		sum += i;
	return sum;
}
