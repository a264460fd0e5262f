/*-------------------------------------------------------------------------
 * url_test.c
 *	  Unit test of public URLs: which ones no request can have.
 *
 * Prints TAP.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "authenticate_case.h"
#include "common/url.h"

#define LABEL_63 "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"

/* of an endpoint at /w/tw */
static const char *const good[] = {
	"https://hooks.example.com/w/tw", "http://hooks.example.com/w/tw", "https://h/w/tw",
	"https://hooks.example.com:443/w/tw", "https://hooks.example.com:1/w/tw", "http://hooks.example.com:65535/w/tw",
	"http://127.0.0.1:8080/w/tw", "http://[::1]/w/tw", "http://[2001:db8::a]:8080/w/tw", "http://my_service:80/w/tw",
	"https://xn--bcher-kva.example/w/tw", "https://1.2.example/w/tw", "https://" LABEL_63 ".example/w/tw",
	"https://h/w/tw?team=a", "https://h/w/tw?team=a&x=%20%2B%C3%A9&y", "https://h/w/tw?", "https://h/w/tw?team=a&",
	"https://h/w/tw?a=b?c/d@e:f", "https://h/w/tw#rc=2&rp=all", "https://h/w/tw?team=a#rc=2",
	"https://h/w/tw?a='(b)'*!$,;",
	"https://h/w/tw?message=x"
};

static const char *const bad[] = {
	/* no URL, or not a whole one, or of another scheme */
	"", "hooks.example.com/w/tw", "//hooks.example.com/w/tw", "/w/tw", "w/tw", "https:/h/w/tw", "https:h/w/tw",
	"ftp://h/w/tw", "file:///w/tw", "HTTPS://h/w/tw", "Http://h/w/tw", "javascript:x", "httpss://h/w/tw",
	"wss://h/w/tw",
	/* user */
	"https://user@h/w/tw", "https://user:pass@h/w/tw", "https://@h/w/tw", "https://:@h/w/tw", "https://a@b@h/w/tw",
	"https://hooks.example.com@evil.example/w/tw", "https://user:pass@h:443/w/tw",
	/* host */
	"https://", "https:///w/tw", "https://?a=b", "https://#x", "https://.example/w/tw", "https://a..example/w/tw",
	"https://example./w/tw", "https://./w/tw", "https://-a.example/w/tw", "https://a-.example/w/tw",
	"https://Hooks.example.com/w/tw",
	"https://h%61/w/tw", "https://a,b/w/tw", "https://a!/w/tw", "https://1.2.3/w/tw", "https://256.1.1.1/w/tw",
	"https://01.2.3.4/w/tw",
	"https://123/w/tw", "https://[::1/w/tw", "https://::1/w/tw", "https://[]/w/tw", "https://[::g]/w/tw",
	"https://[1.2.3.4]/w/tw",
	"https://[::1]x/w/tw", "https://a" LABEL_63 ".example/w/tw", "https://a=b/w/tw",
	"https://" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 "/w/tw",
	/* port */
	"https://h:/w/tw", "https://h:0/w/tw", "https://h:080/w/tw", "https://h:65536/w/tw", "https://h:99999999999/w/tw",
	"https://h:-1/w/tw", "https://h:+1/w/tw", "https://h:1x/w/tw", "https://h:80:80/w/tw", "https://h:80:/w/tw",
	"https://:80/w/tw",
	"https://[::1]:/w/tw", "https://[::1]:0/w/tw", "https://[::1]80/w/tw", "https://h::80/w/tw",
	/* characters */
	" https://h/w/tw", "https://h/w/tw ", "https://h/w /tw", "https://h /w/tw", "https://h/w/tw\n", "https://h/w/tw\t",
	"https://h/w/tw\x01",
	"https://h/w/tw\x7f", "https://h/w\\tw", "https:\\\\h\\w\\tw", "https://h/w/tw?a=\"b\"", "https://h/w/tw?<a>",
	"https://h/w/tw?a|b",
	"https://h/w/tw?{a}", "https://h/w/tw?a^b", "https://h/w/tw?`a`", "https://h/w/tw?a[]=b", "https://h/w/tw#[",
	"https://h/w/tw#a#b",
	"https://h\xc3\xa9.example/w/tw", "https://h/w/tw?a=\xc3\xa9", "https://h/w/tw\xe2\x80\x8b", "https://h/w/tw\xff",
	"https://b\xc3\xbc" "cher.example/w/tw",
	/* path */
	"https://h/w//tw", "https://h//w/tw", "https://h/w/./tw", "https://h/./w/tw",
	"https://h/x/../w/tw", "https://h/w/tw/..", "https://h/w/tw/.", "https://h/w/%74w", "https://h/w%2Ftw",
	"https://h/w/tw%00", "https://h/%2E%2E/w/tw",
	/* what is encoded */
	"https://h/w/tw?a=%", "https://h/w/tw?a=%4", "https://h/w/tw?a=%zz", "https://h/w/tw?a=%2b",
	"https://h/w/tw?a=%C3%a9", "https://h/w/tw?a=%41",
	"https://h/w/tw?a=%7E", "https://h/w/tw?a=%00", "https://h/w/tw?a=%0D%0A", "https://h/w/tw?a=%7F",
	"https://h/w/tw#%", "https://h/w/tw?%2D",
	/* what Twilio adds */
	"https://h/w/tw?bodySHA256=x", "https://h/w/tw?a=b&bodySHA256="
};

static const char *const good_unsigned[] = {
	"https://h", "https://h/", "https://h?a=b", "https://h/prefix/w/tw", "https://h/a%20b/%C3%A9",
	"https://h/w/tw?bodySHA256=x", "https://h/w/tw/"
};

/* A proxy may have another path than the endpoint. */
static const char *const other_paths[] = {
	"https://h", "https://h?team=a", "https://h#x", "https://h/", "https://h/prefix/w/tw", "https://h/w/TW",
	"https://h/w/tw;a=b"
};
static const char *const bad_unsigned[] = {
	"https://h/a%2Fb", "https://h/a%5Cb", "https://h/a%252F", "https://h/a/../b", "https://h/..", "https://h/a//b",
	"https://h/.", "https://h/%61",
	"https://u@h/", "https://h:0/", "h", ""
};

static void
check(const char *url, bool is_signed, bool is_good)
{
	const PoUrlFlaw *flaw = po_check_url(str(url), is_signed);

	ok((flaw == NULL) == is_good && (flaw == NULL || (flaw->problem != NULL && flaw->hint != NULL)), url);
	if (flaw != NULL)
		printf("# %s\n", flaw->problem);
}

int
main(void)
{
	static char longest[2048];
	PoUrl		split;

	for (int i = 0; i < (int) lengthof(good); i++)
		check(good[i], true, true);
	for (int i = 0; i < (int) lengthof(bad); i++)
	{
		char		name[2048];
		int			n = 0;

		/* TAP is lines of text */
		for (const char *p = bad[i]; *p != '\0'; p++)
			n += snprintf(name + n, sizeof(name) - n, *p > ' ' && *p < 0x7f && *p != '#' ? "%c" : "\\x%02x",
						  (unsigned char) *p);
		name[n] = '\0';
		ok(po_check_url(str(bad[i]), true) != NULL, name);
	}
	for (int i = 0; i < (int) lengthof(other_paths); i++)
		check(other_paths[i], true, true);
	for (int i = 0; i < (int) lengthof(good_unsigned); i++)
		check(good_unsigned[i], false, true);
	for (int i = 0; i < (int) lengthof(bad_unsigned); i++)
		check(bad_unsigned[i], false, false);
	ok(po_check_url((PoBytes) {"https://h/w/tw\0", 15}, true) != NULL &&
	   po_check_url((PoBytes) {"https://h\0/w/tw", 15}, true) != NULL &&
	   po_check_url((PoBytes) {NULL, 0}, true) != NULL, "NUL, and nothing");
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://", 8);
	ok(po_check_url((PoBytes) {longest, sizeof(longest)}, true) != NULL, "a long host");
	memset(longest + 8, '[', sizeof(longest) - 8);
	longest[sizeof(longest) - 1] = ']';
	ok(po_check_url((PoBytes) {longest, sizeof(longest)}, true) != NULL, "a long address");
	ok(po_split_url(str("https://h:8080/w/tw?a=b#c?d"), &split) && same_bytes(split.origin, str("https://h")) &&
	   same_bytes(split.host, str("h")) && same_bytes(split.port, str(":8080")) &&
	   same_bytes(split.path, str("/w/tw")) &&
	   same_bytes(split.query, str("a=b")) && split.has_query, "a URL is split");
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
