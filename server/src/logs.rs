//! The log files that the container runtime writes, read line by line.
