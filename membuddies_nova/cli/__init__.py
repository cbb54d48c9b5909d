# SPDX-License-Identifier: Apache-2.0
"""The operator's commands: they parse, ask and print, and decide nothing."""
