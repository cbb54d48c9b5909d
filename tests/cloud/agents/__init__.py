# SPDX-License-Identifier: Apache-2.0
"""Agents on real guests: what arrives of them, whatever Nova does with them."""
