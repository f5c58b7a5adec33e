#!/usr/bin/env node
// Committed, so that the link in node_modules/.bin exists before the first build.
import '../dist/main.js';
