-- How many users joined in each year. There is a row for each post, not for each person.
WITH joined AS (
    SELECT CAST(substr(CAST(date_joined AS text), 1, 4) AS integer) AS join_year
    FROM users
    WHERE date_joined IS NOT NULL
)
SELECT join_year, count(*) AS number_users_joined
FROM joined
GROUP BY join_year
ORDER BY join_year;
