// No command exists yet.
process.stderr.write('usrdrv: no command is available yet\n');
process.exitCode = 1;
