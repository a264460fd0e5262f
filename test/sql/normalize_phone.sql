-- normalize_phone(): E.164, or null where that would be a guess.
\pset format unaligned
\pset tuples_only on
SELECT replace(phone, E'\u200f', '<RLM>') AS phone, outreach.normalize_phone(phone) FROM (VALUES
	(1, '+12125550100'), (2, '2125550100'), (3, '12125550100'), (4, '(212) 555-0100'), (5, '212.555.0100'),
	(6, ' 212-555-0100 '), (7, 'tel:+1-212-555-0100'), (8, '+442071838750'), (9, '0044 20 7183 8750'),
	(10, '442071838750'), (11, '2125550100 x12'), (12, '212555010'), (13, '1125550100'), (14, '2121550100'),
	(15, '1'), (16, '+'), (17, '++12125550100'), (18, '+1234567890123456'), (19, '72727'), (20, 'STOP'), (21, ''),
	(22, '２１２５５５０１００'), (23, E'+1 212 555 0100\u200f'), (24, '+1212555010a'), (25, '%s'), (26, NULL)
	) AS v(n, phone) ORDER BY n;
SELECT outreach.normalize_phone(repeat('5', 64)) IS NULL AS refused;
