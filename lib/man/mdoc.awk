# SPDX-License-Identifier: BSD-3-Clause
# Makes a manual page (mdoc) from a page's frame and its header: awk -v header=PATH -f mdoc.awk FRAME
#
# The reference text stands in the header and nowhere else. A line of the frame that is
#
#   @names@      becomes the page's name and those of the header's functions
#   @synopsis@   becomes the include line and the prototypes
#   @theory@     becomes the header's first comment
#   @reference@  becomes a section of types and one of functions, each with its comment
#
# Read in comments are paragraphs; lines that begin with a word and two spaces or more, or are indented, as entries
# of a list, with a list inside where an entry's continuation begins with a word in capitals; drawings, which are
# indented by six or more.

function escape(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/-/, "\\-", s)
	if (s ~ /^[.']/)
		s = "\\&" s
	return s
}

# Prose: only an errno's minus sign and options need care.
function prose(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/-E/, "\\-E", s)
	gsub(/-1/, "\\-1", s)
	gsub(/ -D/, " \\-D", s)
	if (s ~ /^[.']/)
		s = "\\&" s
	return s
}

# Writes a line of mdoc, after the prose before it.
function put(s)
{
	flush()
	out = out s "\n"
}

function say(s)
{
	para = para (para == "" ? "" : " ") s
}

# The prose so far: each sentence begins a line, and lines are short.
function flush(    n, i, words, line)
{
	n = split(para, words, / +/)
	para = line = ""
	for (i = 1; i <= n; i++) {
		if (line != "" && length(line) + length(words[i]) > 77) {
			out = out prose(line) "\n"
			line = ""
		}
		line = line (line == "" ? "" : " ") words[i]
		if (words[i] ~ /[.?!]\)?$/ && words[i] !~ /\.\.\.$/) {
			out = out prose(line) "\n"
			line = ""
		}
	}
	if (line != "")
		out = out prose(line) "\n"
}

function close_lists(level)
{
	while (depth > level) {
		put(".El")
		depth--
	}
}

function open_list(indent)
{
	depth++
	at[depth] = indent
	put(".Bl -tag -width 14n -compact")
}

function quoted(s)
{
	gsub(/"/, "\\(dq", s)
	s = prose(s)
	return "\"" s "\""
}

# Divides s at its first two spaces into tag and rest_of; false when there are none.
function divide(s,    i)
{
	sub(/^ +/, "", s)
	i = match(s, /[^ .]  +[^ ]/)
	if (i == 0 || i > 46)
		return 0
	tag_of = substr(s, 1, i)
	rest_of = substr(s, i + 1)
	sub(/^ +/, "", rest_of)
	return 1
}

# A comment of n lines in text[] as mdoc.
function comment(n,    i, s, indent, drawing, loose, fresh)
{
	depth = 0
	drawing = loose = 0
	fresh = 1
	for (i = 1; i <= n; i++) {
		s = text[i]
		match(s, /^ */)
		indent = RLENGTH
		if (s == "") {
			if (drawing)
				put(".Ed")
			drawing = loose = 0
			fresh = 1
			close_lists(0)
			continue
		}
		if (drawing) {
			put(escape(s))
			continue
		}
		if (fresh && indent >= 6) {
			put(".Bd -literal")
			drawing = 1
			put(escape(s))
			fresh = 0
			continue
		}
		if (fresh && !nopp)
			put(".Pp")
		fresh = 0
		nopp = 0
		if (indent > 0 && (loose || s ~ /^ +and /)) { # after a list of errors
			close_lists(0)
			loose = 1
			sub(/^ +/, "", s)
			say(s)
			continue
		}
		if (depth > 0 && indent > at[depth]) { # goes on, or begins a list inside
			if (depth == 1 && divide(s) && tag_of ~ /^[A-Z_]+$/) {
				open_list(indent)
				put(".It " quoted(tag_of))
				say(rest_of)
			} else {
				sub(/^ +/, "", s)
				say(s)
			}
			continue
		}
		while (depth > 0 && indent < at[depth]) {
			put(".El")
			depth--
		}
		if (divide(s) && (indent > 0 || tag_of !~ /[.,;:]$/)) {
			if (depth == 0)
				open_list(indent)
			put(".It " quoted(tag_of))
			say(rest_of)
		} else if (indent > 0) {
			if (depth == 0)
				open_list(indent)
			sub(/^ +/, "", s)
			put(".It " quoted(s))
		} else {
			close_lists(0)
			say(s)
		}
	}
	if (drawing)
		put(".Ed")
	close_lists(0)
	flush()
}

# Takes the comment in raw lines apart into text[]; gives the number of lines.
function comment_lines(raw,    n, i, lines)
{
	sub(/^\/\*[ \n]*/, "", raw)
	sub(/[ \n]*\*\/[ \n]*$/, "", raw)
	n = split(raw, lines, "\n")
	for (i = 1; i <= n; i++) {
		sub(/^ ?\* ?/, "", lines[i])
		sub(/ +$/, "", lines[i])
		text[i] = lines[i]
	}
	return n
}

# A comment in code, wrapped.
function remark(indent, s,    n, i, words, line)
{
	n = split(s, words, / +/)
	line = indent "/*"
	for (i = 1; i <= n; i++) {
		if (length(line) + length(words[i]) > 73) {
			put(escape(line))
			line = indent " *"
		}
		line = line " " words[i]
	}
	put(escape(line " */"))
}

# Code, with the comments that make a line too long for a page above it.
function literal(code,    n, i, k, lines, s, whole, indent)
{
	n = split(code, lines, "\n")
	k = 0
	for (i = 1; i <= n; i++) {
		s = lines[i]
		gsub(/\t/, "    ", s)
		while (s ~ /\/\*/ && s !~ /\*\// && i < n) {
			whole = lines[++i]
			sub(/^[ \t]*\* ?/, "", whole)
			s = s " " whole
		}
		match(s, /^ */)
		indent = RLENGTH
		if (s ~ /^ *\/\*.*\*\/$/ && indent > 20) { # goes on with the comment beside the line before
			sub(/^ *\/\* */, "", s)
			sub(/ *\*\/$/, "", s)
			beside[k] = beside[k] " " s
			full[k] = ""
			continue
		}
		k++
		full[k] = length(s) <= 76 ? s : ""
		code_of[k] = s
		beside[k] = ""
		if (match(s, / *\/\*.*\*\/$/)) {
			code_of[k] = substr(s, 1, RSTART - 1)
			beside[k] = substr(s, RSTART)
			sub(/^ *\/\* */, "", beside[k])
			sub(/ *\*\/$/, "", beside[k])
		}
		margin[k] = indent
	}
	put(".Bd -literal")
	for (i = 1; i <= k; i++) {
		if (full[i] != "" || beside[i] == "") {
			put(escape(full[i] != "" ? full[i] : code_of[i]))
			continue
		}
		remark(substr("                ", 1, margin[i]), beside[i])
		if (code_of[i] != "")
			put(escape(code_of[i]))
	}
	put(".Ed")
}

# The first comment, the declarations and their comments, in the header's order.
function read_header(    line, block, in_comment, code, seen, depth_braces, one)
{
	nchunks = 0
	block = code = ""
	while ((getline line < header) > 0) {
		if (line ~ /SPDX/ || line ~ /^#(ifndef|endif|ifdef|if|else|include)/ || line ~ /^extern "C"/)
			continue
		if (line ~ /^#define (DAXL_API|DAXLAYOUT_[A-Z]+_H|DAXLAYOUT_H)/ || (line == "}" && depth_braces == 0))
			continue
		if (code == "" && (in_comment || line ~ /^\/\*/)) {
			if (!in_comment && block != "")
				block = "" # a comment of its own, without a declaration
			block = block (block == "" ? "" : "\n") line
			in_comment = line !~ /\*\/ *$/
			if (!in_comment && !seen) {
				theory = block
				block = ""
				seen = 1
			}
			continue
		}
		if (line == "" && depth_braces == 0) {
			if (code != "")
				chunk(block, code)
			block = code = ""
			continue
		}
		code = code (code == "" ? "" : "\n") line
		one = line
		depth_braces += gsub(/\{/, "", one)
		depth_braces -= gsub(/\}/, "", one)
	}
	if (code != "")
		chunk(block, code)
	close(header)
}

function chunk(block, code,    name, one)
{
	nchunks++
	chunk_comment[nchunks] = block
	chunk_code[nchunks] = code
	if (code ~ /^DAXL_API /) {
		one = code
		sub(/\(.*/, "", one)
		sub(/.*[ *]/, "", one)
		chunk_function[nchunks] = one
	}
}

# A prototype as .Ft, .Fo, .Fa, .Fc.
function prototype(i,    code, type, name, args, n, k, list)
{
	code = chunk_code[i]
	gsub(/[ \t\n]+/, " ", code)
	sub(/^DAXL_API /, "", code)
	name = chunk_function[i]
	type = substr(code, 1, index(code, name) - 1)
	sub(/ $/, "", type)
	args = substr(code, index(code, name) + length(name) + 1)
	sub(/\);$/, "", args)
	put(".Ft " quoted_type(type))
	put(".Fo " name)
	n = split(args, list, /, */)
	for (k = 1; k <= n; k++)
		put(".Fa \"" list[k] "\"")
	put(".Fc")
}

function quoted_type(type)
{
	return type ~ / / ? "\"" type "\"" : type
}

function title(code,    s)
{
	if (match(code, /^(struct|enum) [a-z_]+ \{/)) {
		s = substr(code, 1, RLENGTH - 2)
		return s
	}
	if (match(code, /\(\*daxl_[a-z_]+\)/))
		return substr(code, RSTART + 2, RLENGTH - 3)
	if (code ~ /^#define /) {
		split(code, words, /[ (\n]/)
		return words[2]
	}
	return ""
}

function types(    i, any, name)
{
	for (i = 1; i <= nchunks; i++) {
		if (chunk_function[i] != "")
			continue
		if (!any)
			put(".Sh TYPES AND CONSTANTS")
		any = 1
		name = title(chunk_code[i])
		if (name != "")
			put(".Ss " name)
		else
			put(".Ss Handles")
		nopp = 1
		if (chunk_comment[i] != "")
			comment(comment_lines(chunk_comment[i]))
		literal(chunk_code[i])
	}
}

function functions(    i, any)
{
	for (i = 1; i <= nchunks; i++) {
		if (chunk_function[i] == "")
			continue
		if (!any)
			put(".Sh FUNCTIONS")
		any = 1
		put(".Ss " chunk_function[i])
		nopp = 1
		comment(comment_lines(chunk_comment[i]))
	}
}

function names(    i, last)
{
	for (i = 1; i <= nchunks; i++)
		if (chunk_function[i] != "")
			last = i
	put(".Nm " page (last ? " ," : ""))
	for (i = 1; i <= nchunks; i++)
		if (chunk_function[i] != "")
			put(".Nm " chunk_function[i] (i == last ? "" : " ,"))
}

BEGIN {
	read_header()
	page = header
	sub(/.*\//, "", page)
	sub(/\.h$/, "", page)
	if (page != "daxlayout")
		page = "daxlayout_" page
	include_as = header
	sub(/.*include\//, "", include_as)
}

/^@names@$/ {
	out = ""
	names()
	printf "%s", out
	next
}

/^@synopsis@$/ {
	out = ""
	put(".In " include_as)
	for (i = 1; i <= nchunks; i++)
		if (chunk_function[i] != "")
			prototype(i)
	printf "%s", out
	next
}

/^@theory@$/ {
	out = ""
	nopp = 1
	comment(comment_lines(theory))
	printf "%s", out
	next
}

/^@reference@$/ {
	out = ""
	types()
	functions()
	printf "%s", out
	next
}

{
	print
}
