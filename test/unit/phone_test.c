/*
 * phone_test.c
 *	  Unit test of reading phone numbers: what is one, and what is refused.
 *
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "common/phone.h"

static int	ntests = 0;
static int	nfailed = 0;

/* expected is NULL when the text must be refused */
static void
phone(const char *text, const char *expected)
{
	char		out[PO_E164_SIZE];
	bool		made = po_phone_e164(text, strlen(text), out);
	bool		passed = made == (expected != NULL) && (!made || strcmp(out, expected) == 0);

	ntests++;
	nfailed += !passed;
	/* "#" would begin a TAP directive */
	printf("%sok %d - %.*s\n", passed ? "" : "not ", ntests, (int) strcspn(text, "#"), text);
}

static void
test_phone(void)
{
	static const char *const same[] = {
		"12025550123",           "2025550123",
		"+12025550123",          "1-202-555-0123",
		"(202) 555-0123",        "+1 (202) 555-0123",
		"202.555.0123",          " 202 555 0123 ",
		"whatsapp:+12025550123", "WhatsApp:+12025550123",
		"tel:+1-202-555-0123",   "sms:2025550123",
		"(+1) 202 555 0123",     "RCS:+12025550123",
		"viber:+12025550123",    "messenger: +1 202 555 0123",
		"x-line.2:+12025550123"
	};
	static const char *const refused[] = {
		"", " ", "+", "client:Anonymous", "anonymous", "Restricted", "1", "123", "12345", "123456",
		"5550123", "555-0123", "202-555-0123 x12", "202-555-0123 ext. 5", "202-555-0123;ext=5",
		"202-555-0123#5", "1-800-FLOWERS", "0025550123", "1025550123", "1125550123", "2115550123",
		"9115550123", "2021550123", "2020550123", "+11125550123", "+1202555012", "+120255501234",
		"+1202555", "22025550123", "447700900123", "00447700900123", "0447700900123",
		"01144770090012", "+44 (0)7700 900123", "+0447700900123", "+1234567890123456",
		"1234567890123456", "12345678901234567890123456789012345678901234567890", "++12025550123",
		"1+2025550123", "2025550123+", "2025550123 2025550124", "2025550123/2025550124",
		"2025550123,", "+4412345", "whatsapp:", "mailto:2025550123", "202_555_0123",
		"viber:2025550123", "messenger:1234567890", "client:+alice", "sip:+12025550123@example.com",
		":+12025550123", "2:+12025550123", "viber:viber:+12025550123", "viber :+12025550123", "viber:",
		"a-channel-whose-name-is-too-long:+12025550123",
		"                                                                2025550123",
		/* area codes and exchanges that do not exist, and fillers */
		"(999) 999-9999", "999-999-9999", "299-555-0123", "370-555-0123", "960-555-0123",
		"555-123-4567", "222-222-2222", "333-555-0123", "202-555-5555",
		"+12025555555", "212-911-0123", "202-555-1212", "2345678901", "(234) 567-8910",
		"9876543210", "888-888-8888", "1 (666) 555-0123", "298 555 0123", "390-555-0123",
		"379-555-0123", "967-555-0123"
	};

	/* toll free, personal, and area codes of late */
	static const char *const valid[] = {
		"8885550123", "8335550123", "5005550123", "6005550123",
		"2635550123", "3685550123", "9835550123", "9245550123",
		"2355550123", "2345678902", "9876543211", "2025551213"
	};

	for (int i = 0; i < (int) lengthof(same); i++)
		phone(same[i], "+12025550123");
	for (int i = 0; i < (int) lengthof(refused); i++)
		phone(refused[i], NULL);
	for (int i = 0; i < (int) lengthof(valid); i++)
	{
		char		expected[PO_E164_SIZE];

		snprintf(expected, sizeof(expected), "+1%s", valid[i]);
		phone(valid[i], expected);
	}
	/* format characters, typeset hyphens and spaces, full width */
	phone("\u202A+1 202\u20115550123\u202C", "+12025550123");
	phone("\u200F202\u00A0555\u20130123", "+12025550123");
	phone("\uFF0B\uFF11\uFF12\uFF10\uFF12\uFF15\uFF15\uFF15\uFF10\uFF11\uFF12\uFF13",
		  "+12025550123");
	phone("\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661\u0662\u0663", NULL);
	phone("+447700900123", "+447700900123");
	phone("+44 7700 900123", "+447700900123");
	phone("+49 30 123456", "+4930123456");
	phone("+4712345678", "+4712345678");
	phone("+123456789012345", NULL);
	phone("+223456789012345", "+223456789012345");
	phone("+5215512345678", "+525512345678");
	phone("whatsapp:+52 1 55 1234 5678", "+525512345678");
	phone("+525512345678", "+525512345678");
	phone("+52155123456", "+52155123456");
	phone("3055550142", "+13055550142");
	phone("+18005550199", "+18005550199");
}

int
main(void)
{
	test_phone();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
